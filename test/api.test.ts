/**
 * The API reference is complete: `npm run docs:api` (typedoc) makes it from the docstrings, which every
 * public name has, with its methods and its options. The tests read the sources; typedoc itself checks the
 * same when it runs.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root } from './examples.js';

const read = (file: string) =>
  ts.createSourceFile(file, readFileSync(path.join(root, file), 'utf8'), ts.ScriptTarget.Latest, true);

/** Public names by the file that declares them. */
function publicNames(): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const entry of ['library.ts', 'index.ts'])
    for (const statement of read(entry).statements) {
      if (!ts.isExportDeclaration(statement) || !statement.exportClause) continue;
      if (!ts.isNamedExports(statement.exportClause)) continue;
      const from = (statement.moduleSpecifier as ts.StringLiteral).text
        .replace(/^\.\//, '')
        .replace(/\.js$/, '.ts');
      const own = statement.exportClause.elements.map((one) => (one.propertyName ?? one.name).text);
      names.set(from, [...(names.get(from) ?? []), ...own]);
    }
  return names;
}

/** The text of the docstring of a node, without marks; empty where there is none. */
function docstring(node: ts.Node): string {
  const source = node.getSourceFile().text;
  const last = ts.getLeadingCommentRanges(source, node.pos)?.at(-1);
  if (!last || !source.startsWith('/**', last.pos)) return '';
  return source
    .slice(last.pos + 3, last.end - 2)
    .replace(/^\s*\* ?/gm, '')
    .trim();
}

/** A declaration of a public name: of overloads and of types that go with a value, each. */
const declarations = [...publicNames()].flatMap(([file, names]) =>
  read(file).statements.flatMap((statement) => {
    const declared = ts.isVariableStatement(statement)
      ? statement.declarationList.declarations.map(({ name }) => name.getText())
      : [(statement as ts.DeclarationStatement).name?.getText() ?? ''];
    return declared.filter((name) => names.includes(name)).map((name) => ({ file, name, statement }));
  }),
);

const isPrivate = (node: ts.Node): boolean =>
  (ts.isClassElement(node) && node.name !== undefined && ts.isPrivateIdentifier(node.name)) ||
  /\b(private|protected)\b/.test(
    (node as ts.HasModifiers).modifiers?.map((m) => m.getText()).join(' ') ?? '',
  );

test('every public name is found, and has a docstring of a sentence', () => {
  assert.ok(declarations.length > 300, `${declarations.length} were found`);
  const told = new Map<string, number>();
  for (const { name, statement } of declarations)
    told.set(name, Math.max(told.get(name) ?? 0, docstring(statement).length));
  assert.equal(
    [...told].filter(([, length]) => length < 15).map(([name]) => name),
    [],
  );
});

test('every public method of a public class has a docstring', () => {
  const missing = declarations.flatMap(({ name, statement }) => {
    if (!ts.isClassDeclaration(statement)) return [];
    const told = new Set(
      statement.members.filter((member) => docstring(member)).map((member) => member.name?.getText()),
    );
    return statement.members
      .filter((member) => ts.isMethodDeclaration(member) && !isPrivate(member))
      .map((member) => member.name!.getText())
      .filter((member) => !told.has(member))
      .map((member) => `${name}.${member}`);
  });
  assert.equal([...new Set(missing)], []);
});

test('every option of a public interface of options has a docstring, with its default where it has one', () => {
  const missing = declarations.flatMap(({ name, statement }) => {
    if (!ts.isInterfaceDeclaration(statement) || !name.endsWith('Options')) return [];
    return statement.members
      .filter((member) => member.questionToken && !docstring(member))
      .map((member) => member.name!.getText())
      .filter((member) => !['signal', 'prependBos'].includes(member)) // mean the same everywhere: docs/concepts
      .map((member) => `${name}.${member}`);
  });
  assert.equal(missing, []);
});

test('a page of the reference is made by one command, and is not kept', () => {
  const { scripts, devDependencies } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const options = JSON.parse(readFileSync(path.join(root, 'typedoc.json'), 'utf8'));
  assert.is(scripts['docs:api'], 'typedoc');
  assert.match(devDependencies.typedoc, /^\d+\.\d+\.\d+$/);
  assert.ok(options.treatWarningsAsErrors && options.validation.notDocumented);
  assert.match(readFileSync(path.join(root, '.gitignore'), 'utf8'), /^\/out\/$/m);
  assert.match(options.out, /^out\//);
});

test.run();
