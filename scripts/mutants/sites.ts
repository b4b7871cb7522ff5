/**
 * Places in a source file where one token can be changed so that the code still compiles and means something
 * else.
 */

import ts from 'typescript';

/** One change of a file. */
export interface Mutant {
  readonly file: string;
  /** Characters of the file that are replaced. */
  readonly start: number;
  readonly end: number;
  readonly before: string;
  readonly after: string;
  readonly line: number;
}

/** What each operator becomes. */
const OPERATORS: Readonly<Record<string, string>> = {
  '+': '-',
  '-': '+',
  '*': '/',
  '/': '*',
  '%': '*',
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  '===': '!==',
  '!==': '===',
  '&&': '||',
  '||': '&&',
  '??': '&&',
  '+=': '-=',
  '-=': '+=',
};
const FUNCTIONS: Readonly<Record<string, string>> = {
  ceil: 'floor',
  floor: 'ceil',
  round: 'floor',
  max: 'min',
  min: 'max',
  every: 'some',
  some: 'every',
};
/**
 * Tokens of WGSL, which stands in template literals. Generics and attributes (`<f32>`, `@group`) are left
 * alone.
 */
const WGSL =
  /(?<=[\w)\]] )(\+|-|\*|\/|<|<=|>|>=|==|!=|&&|\|\|)(?= [\w(])|\b(max|min|workgroupBarrier)(?=\()/g;
const WGSL_AFTER: Readonly<Record<string, string>> = {
  ...OPERATORS,
  '==': '!=',
  '!=': '==',
  max: 'min',
  min: 'max',
  workgroupBarrier: 'storageBarrier',
};

/**
 * All mutants of a file. Types, imports, the texts of errors and the references of kernels are left alone.
 */
export function mutantsOf(file: string, text: string): Mutant[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found: Mutant[] = [];
  const add = (start: number, end: number, after: string) =>
    found.push({
      file,
      start,
      end,
      before: text.slice(start, end),
      after,
      line: source.getLineAndCharacterOfPosition(start).line + 1,
    });
  const put = (node: ts.Node, after: string | undefined) => {
    if (after !== undefined) add(node.getStart(), node.getEnd(), after);
  };
  const isWgsl = (node: ts.Node) => /\/\*\s*wgsl\s*\*\/\s*$/.test(text.slice(0, node.getStart()));
  const wgsl = (node: ts.Node) => {
    for (const { 0: token, index } of node.getText().matchAll(WGSL)) {
      const start = node.getStart() + index;
      add(start, start + token.length, WGSL_AFTER[token]);
    }
  };
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return;
    const name = (ts.isFunctionDeclaration(node) || ts.isMethodDeclaration(node)) && node.name?.getText();
    if (name && (name === 'examples' || name.endsWith('Reference'))) return; // what kernels are checked against
    if (ts.isThrowStatement(node)) {
      if (ts.isIfStatement(node.parent) && node.parent.thenStatement === node) put(node, ';'); // a check removed
      return;
    }
    if (ts.isBinaryExpression(node)) put(node.operatorToken, OPERATORS[node.operatorToken.getText()]);
    else if (ts.isConditionalExpression(node)) put(node.condition, 'true');
    else if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken)
      add(node.getStart(), node.getStart() + 1, '');
    else if (ts.isNumericLiteral(node)) put(node, node.text === '1' ? '2' : `${node.getText()} + 1`);
    else if (node.kind === ts.SyntaxKind.TrueKeyword) put(node, 'false');
    else if (node.kind === ts.SyntaxKind.FalseKeyword) put(node, 'true');
    else if (ts.isPropertyAccessExpression(node) && ts.isCallExpression(node.parent))
      put(node.name, FUNCTIONS[node.name.text]);
    else if (ts.isExpressionStatement(node) && /throwIfAborted\(\)/.test(node.getText())) put(node, ';');
    if (ts.isTemplateExpression(node) && isWgsl(node)) {
      for (const part of [node.head, ...node.templateSpans.map((span) => span.literal)]) wgsl(part);
    } else if (ts.isNoSubstitutionTemplateLiteral(node) && isWgsl(node)) wgsl(node);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}
