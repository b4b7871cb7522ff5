/** Twenty small programs compile as users write them, and misspellings do not: see test/types/. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root } from './examples.js';

const files = ['programs', 'misspellings'].map((name) => path.join(root, 'test', 'types', `${name}.ts`));
const [programs, misspellings] = files.map((file) => readFileSync(file, 'utf8'));

test('the programs and the misspellings compile with strict, the latter as errors that are expected', () => {
  const { config } = ts.readConfigFile(path.join(root, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  assert.is(options.strict, true);
  const program = ts.createProgram(files, { ...options, noEmit: true });
  const said = files.flatMap((file) =>
    program
      .getSemanticDiagnostics(program.getSourceFile(file))
      .map(({ start = 0, messageText, file: of }) => {
        const { line } = of!.getLineAndCharacterOfPosition(start);
        return `${path.basename(of!.fileName)}:${line + 1}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
      }),
  );
  assert.equal(said, []);
});

test('there are twenty programs without a cast or a "!", and ten misspellings', () => {
  assert.is([...programs.matchAll(/^ {2}async \w+\(/gm)].length, 20);
  const ast = ts.createSourceFile('programs.ts', programs, ts.ScriptTarget.Latest, true);
  const casts: string[] = [];
  const visit = (node: ts.Node): void => {
    if ((ts.isAsExpression(node) && node.type.getText() !== 'const') || ts.isNonNullExpression(node))
      casts.push(node.getText());
    ts.forEachChild(node, visit);
  };
  visit(ast);
  assert.equal(casts, []);
  assert.ok([...misspellings.matchAll(/@ts-expect-error/g)].length >= 10);
});

test.run();
