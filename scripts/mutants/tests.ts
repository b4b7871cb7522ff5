/** Which test files to run for a changed source file: the nearest by imports first. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

/** A file that is imported, and the names that are taken from it; null: all of it. */
interface Import {
  readonly file: string;
  readonly names: readonly string[] | null;
}

interface Parsed {
  readonly imports: readonly Import[];
  /** What the file exports from others: the name here, the file, and the name there. */
  readonly passedOn: ReadonlyMap<string, { file: string; name: string }>;
  /** Files of which everything is exported. */
  readonly stars: readonly string[];
}

/**
 * Sorts test files by how near they are to a source file. An import counts one step; names that `index.ts` passes on lead to
 * the file that declares them, so that a test of `patch` is near `patching/`, not near all that the library exports.
 */
export class NearestTests {
  readonly #root: string;
  readonly #parsed = new Map<string, Parsed>();
  readonly #distances: ReadonlyMap<string, ReadonlyMap<string, number>>;

  /**
   * @param root folder of the repository
   * @param tests paths of test files, relative to it, with slashes
   */
  constructor(root: string, tests: readonly string[]) {
    this.#root = root;
    this.#distances = new Map(tests.map((file) => [file, this.#reach(file)]));
  }

  /**
   * The test files that reach `source`, nearest first; of two that are equally near, the one that reaches fewer files: it is
   * about less.
   */
  of(source: string): string[] {
    return [...this.#distances]
      .filter(([, reached]) => reached.has(source))
      .sort(([a, x], [b, y]) => x.get(source)! - y.get(source)! || x.size - y.size || (a < b ? -1 : 1))
      .map(([file]) => file);
  }

  /** Steps from a test file to every source file that it reaches. */
  #reach(test: string): Map<string, number> {
    const steps = new Map([[test, 0]]);
    const queue = [test];
    for (let file = queue.shift(); file !== undefined; file = queue.shift())
      for (const next of this.#parse(file).imports.flatMap((i) => this.#declaring(i)))
        if (!steps.has(next)) {
          // Helpers of tests are part of the test.
          steps.set(next, steps.get(file)! + (next.startsWith('test/') ? 0 : 1));
          queue.push(next);
        }
    return steps;
  }

  /** The files that declare what is imported: names that a file only passes on are followed. */
  #declaring({ file, names }: Import): string[] {
    if (!names) return [file];
    return names.map((name) => this.#origin(file, name) ?? file);
  }

  #origin(file: string, name: string): string | undefined {
    const { passedOn, stars } = this.#parse(file);
    const from = passedOn.get(name);
    if (from) return this.#origin(from.file, from.name) ?? from.file;
    for (const star of stars) {
      const found = this.#origin(star, name) ?? (this.#declares(star, name) ? star : undefined);
      if (found) return found;
    }
    return undefined;
  }

  #declares(file: string, name: string): boolean {
    return new RegExp(`export .*\\b${name}\\b`).test(readFileSync(path.join(this.#root, file), 'utf8'));
  }

  #parse(file: string): Parsed {
    const known = this.#parsed.get(file);
    if (known) return known;
    const text = readFileSync(path.join(this.#root, file), 'utf8');
    const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest);
    const imports: Import[] = [];
    const passedOn = new Map<string, { file: string; name: string }>();
    const stars: string[] = [];
    const target = (node: ts.Expression | undefined) =>
      node && ts.isStringLiteral(node) && node.text.startsWith('.')
        ? path.posix.join(path.posix.dirname(file), node.text.replace(/\.js$/, '.ts'))
        : undefined;
    const visit = (node: ts.Node): void => {
      if (ts.isImportDeclaration(node)) {
        const to = target(node.moduleSpecifier);
        const bound = node.importClause?.namedBindings;
        if (!to?.endsWith('.ts') || node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword) return;
        const named = bound && ts.isNamedImports(bound) ? bound.elements.filter((e) => !e.isTypeOnly) : null;
        imports.push({ file: to, names: named?.map((e) => (e.propertyName ?? e.name).text) ?? null });
      } else if (ts.isExportDeclaration(node)) {
        const to = target(node.moduleSpecifier);
        if (!to || node.isTypeOnly) return;
        if (node.exportClause && ts.isNamedExports(node.exportClause))
          for (const e of node.exportClause.elements)
            passedOn.set(e.name.text, { file: to, name: (e.propertyName ?? e.name).text });
        else stars.push(to);
      } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
        const to = target(node.arguments[0]);
        if (to?.endsWith('.ts')) imports.push({ file: to, names: null });
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
    const parsed = { imports, passedOn, stars };
    this.#parsed.set(file, parsed);
    return parsed;
  }
}
