/**
 * The house rules that a compiler does not check: which room may import which, and what may stand where.
 * The rooms and the arrows between them are described in the table below; an upward import means that
 * the code is in the wrong room.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { test } from 'uvu';
import { equal } from 'uvu/assert';
import { depthsOf, importPicture } from '../scripts/import-picture.js';
import { fail, throws } from './helpers.js';

/** What a room may import besides itself: `all` of a room, or its `types` only. */
const arrows: Record<string, { all: string[]; types: string[] }> = {
  kernels: { all: [], types: [] },
  weights: { all: [], types: [] },
  engine: { all: ['kernels', 'weights'], types: [] },
  hooks: { all: ['engine', 'weights'], types: [] },
  interp: { all: ['hooks', 'engine', 'weights'], types: [] },
};
const rooms = Object.keys(arrows);
const MAX_LINES = 350;
const MAX_FILES = 15;

interface Import {
  from: string;
  /** `type`: gone when the program runs. `dynamic`: `await import(…)`, run on demand. */
  kind: 'value' | 'type' | 'dynamic';
}

interface Source {
  /** From the repository's root, with `/`. */
  path: string;
  room: string;
  text: string;
  ast: ts.SourceFile;
  imports: Import[];
}

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const sources = findSources();
const inRooms = sources.filter(({ room }) => rooms.includes(room));
/** What a page may load: all but the entry for Node. */
const portable = sources.filter(
  ({ room, path }) =>
    [...rooms, 'demo'].includes(room) ||
    path.startsWith('scripts/bench/') ||
    (room === '' && !/^index\.ts$|\.config\.ts$/.test(path)),
);

function findSources(): Source[] {
  const folders = [...rooms, 'scripts', 'demo', 'test'].filter((folder) => existsSync(join(root, folder)));
  const nested = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)),
  );
  return [...readdirSync(root), ...nested]
    .filter(
      (file) => /\.ts$/.test(file) && !/\.d\.ts$/.test(file) && !/(^|[\\/])node_modules[\\/]/.test(file),
    )
    .map((file) => {
      const path = file.split(sep).join('/');
      const text = readFileSync(join(root, file), 'utf8');
      const ast = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
      return { path, room: path.includes('/') ? path.split('/')[0] : '', text, ast, imports: importsOf(ast) };
    });
}

function importsOf(ast: ts.SourceFile): Import[] {
  const imports: Import[] = [];
  const add = (specifier: ts.Node | undefined, kind: Import['kind']) => {
    if (specifier && ts.isStringLiteralLike(specifier)) imports.push({ from: specifier.text, kind });
  };
  visit(ast, (node) => {
    if (ts.isImportDeclaration(node)) {
      const typeOnly = node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
      add(node.moduleSpecifier, typeOnly ? 'type' : 'value');
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly ? 'type' : 'value');
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, 'type');
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], 'dynamic');
    }
  });
  return imports;
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => visit(child, see));
}

/** The repository file that a relative import means, or null for a package. */
function target(source: Source, { from }: Import): string | null {
  if (!from.startsWith('.')) return null;
  const path = posix.join(posix.dirname(source.path), from);
  return path.replace(/\.js$/, '.ts');
}

const lineOf = (source: Source, node: ts.Node) =>
  `${source.path}:${source.ast.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;

/** Fails with all offences, and what to do about them. */
function expectNone(offences: string[], remedy: string): void {
  if (offences.length) fail(`${remedy}\n      ${offences.join('\n      ')}`);
}

for (const [room, { all, types }] of Object.entries(arrows)) {
  const may = [...all, ...types.map((name) => `types of ${name}`)].join(', ') || 'nothing';
  test(`${room}/ imports ${may} of the other rooms`, () => {
    const offences = sources
      .filter((source) => source.room === room)
      .flatMap((source) =>
        source.imports.flatMap((one) => {
          const path = target(source, one);
          if (path === null) return [];
          const other = path.includes('/') ? path.split('/')[0] : path;
          if (other === room || all.includes(other) || (one.kind === 'type' && types.includes(other)))
            return [];
          return [`${source.path} imports ${path}`];
        }),
      );
    const hint = types.length ? ` (\`import type\` is allowed from ${types.join(' and ')})` : '';
    expectNone(offences, `${room}/ may import ${may}: move the code to the room it belongs to${hint}`);
  });
}

test('no two files import each other, directly or around a corner', () => {
  // Type-only imports are left out: they do not exist when the program runs.
  const next = new Map(
    sources.map((source) => [
      source.path,
      source.imports.filter(({ kind }) => kind !== 'type').map((one) => target(source, one)),
    ]),
  );
  const done = new Set<string>();
  const cycles: string[] = [];
  const walk = (path: string, above: string[]): void => {
    if (above.includes(path)) cycles.push([...above.slice(above.indexOf(path)), path].join(' → '));
    if (done.has(path) || above.includes(path)) return;
    for (const to of next.get(path) ?? []) if (to !== null) walk(to, [...above, path]);
    done.add(path);
  };
  for (const path of next.keys()) walk(path, []);
  expectNone(cycles, 'Move what both need to a third file:');
});

/**
 * `engine/transformer` of `engine/transformer/parts/norm.ts`; a file at the root of a room stands for itself.
 */
const folderOf = (path: string): string => {
  const parts = path.split('/');
  return parts.length > 2 ? parts.slice(0, 2).join('/') : path;
};

test('the folders of a room import each other in one direction, types included', () => {
  const next = new Map<string, Map<string, string>>(); // folder to folder, by which import
  for (const source of inRooms)
    for (const one of source.imports) {
      const to = target(source, one);
      if (to === null || to.split('/')[0] !== source.room) continue;
      const [from, into] = [folderOf(source.path), folderOf(to)];
      if (from === into) continue;
      const known = next.get(from) ?? new Map<string, string>();
      next.set(from, known.set(into, known.get(into) ?? `${source.path} imports ${to}`));
    }
  const cycles: string[] = [];
  const done = new Set<string>();
  const walk = (folder: string, above: string[]): void => {
    const at = above.indexOf(folder);
    if (at >= 0) {
      const round = [...above.slice(at), folder];
      cycles.push(
        round
          .slice(1)
          .map((to, i) => next.get(round[i])!.get(to))
          .join('; '),
      );
    }
    if (at >= 0 || done.has(folder)) return;
    for (const to of next.get(folder)?.keys() ?? []) walk(to, [...above, folder]);
    done.add(folder);
  };
  for (const folder of next.keys()) walk(folder, []);
  expectNone(cycles, 'Move what both need into the lower folder:');
});

test('docs/developing/architecture.md has the folders of each room, each above those that import it', () => {
  const page = readFileSync(join(root, 'docs/developing/architecture.md'), 'utf8');
  const order = [...page.matchAll(/^\| `([^`]+)` \|/gm)].map(([, folder]) => folder);
  const folders = new Set(inRooms.map(({ path }) => folderOf(path)));
  const unknown = order.filter((folder) => !folders.has(folder));
  const missing = [...folders].filter((folder) => !order.includes(folder));
  const back = inRooms.flatMap((source) =>
    source.imports.flatMap((one) => {
      const to = target(source, one);
      if (to === null || to.split('/')[0] !== source.room) return [];
      const [from, into] = [folderOf(source.path), folderOf(to)];
      return order.indexOf(into) > order.indexOf(from)
        ? [`${source.path} imports ${to}, which stands below`]
        : [];
    }),
  );
  const offences = [
    ...unknown.map((f) => `${f} is not there`),
    ...missing.map((f) => `${f} is missing`),
    ...back,
  ];
  expectNone(offences, 'Keep the tables true:');
});

test('docs/developing/imports.svg shows the imports as they are', () => {
  const kept = readFileSync(join(root, 'docs/developing/imports.svg'), 'utf8');
  if (kept !== importPicture(root))
    fail('The picture is old: node --import tsx scripts/import-picture.ts makes it anew');
});

test('a picture of folders that import each other is refused', () => {
  const round = new Map([
    ['a', new Set(['b'])],
    ['b', new Set(['a'])],
  ]);
  throws(() => depthsOf(round), /import each other: a → b → a/);
  equal(depthsOf(new Map([...round, ['b', new Set()]])).get('a'), 1);
});

test(`a folder holds at most ${MAX_FILES} files`, () => {
  const counts = new Map<string, number>();
  for (const { path } of inRooms) {
    const folder = posix.dirname(path);
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  // One file a family: there may be many.
  const offences = [...counts]
    .filter(([folder, n]) => n > MAX_FILES && folder !== 'weights/families')
    .map(([folder, n]) => `${folder}: ${n} files`);
  expectNone(offences, 'Divide it by what the files are about:');
});

test('WGSL is written in kernels/ and nowhere else', () => {
  const offences = sources
    .filter(({ room }) => room !== 'kernels' && room !== 'test')
    .filter(({ text }) => /@compute\b|var<storage|@workgroup_size/.test(text))
    .map(({ path }) => path);
  expectNone(offences, 'Make it a kernel family in kernels/, with a reference and examples:');
});

test('only files named *-node.ts need Node', () => {
  const offences = portable
    .filter(({ path }) => !path.endsWith('-node.ts'))
    .flatMap(({ path, imports }) =>
      imports.filter(({ from }) => from.startsWith('node:')).map(({ from }) => `${path} imports ${from}`),
    );
  expectNone(offences, 'A page has no such module; move it to a *-node.ts file, which only index.ts loads:');
});

test('a *-node.ts file is loaded by the entry for Node, not by what a page loads', () => {
  const offences = portable
    .filter(({ path }) => !path.endsWith('-node.ts'))
    .flatMap(({ path, imports }) =>
      imports
        .filter(({ from, kind }) => kind === 'value' && /-node\.js$/.test(from))
        .map(({ from }) => `${path} imports ${from}`),
    );
  expectNone(offences, 'A page would load it too; let index.ts register what it offers:');
});

test('weights/ holds host arrays and knows no GPU', () => {
  const offences = sources
    .filter(({ room }) => room === 'weights')
    .flatMap((source) => {
      const found: string[] = [];
      visit(source.ast, (node) => {
        if (ts.isIdentifier(node) && /^(GPU[A-Z]\w+|gpu)$/.test(node.text))
          found.push(`${lineOf(source, node)}: ${node.text}`);
      });
      return found;
    });
  expectNone(offences, 'Upload in engine/; weights/ returns Float32Array:');
});

test('the library prints nothing', () => {
  const offences = sources
    .filter(({ room, path }) => room !== 'scripts' && room !== 'test' && !/\.config\.ts$/.test(path))
    .flatMap((source) => {
      const found: string[] = [];
      visit(source.ast, (node) => {
        if (ts.isPropertyAccessExpression(node) && node.expression.getText() === 'console')
          found.push(`${lineOf(source, node)}: ${node.getText()}`);
      });
      return found;
    });
  expectNone(offences, 'Throw an error, return the fact in the result, or report it with onProgress:');
});

test(`every file can be read in one sitting: ${MAX_LINES} lines at most`, () => {
  const offences = inRooms
    .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ path, lines }) => `${path}: ${lines} lines`);
  expectNone(offences, 'Split it by concept (about 250 lines is a good length):');
});

test('everything a room exports has a docstring', () => {
  const offences = inRooms.flatMap((source) => {
    const told = new Set<string>(); // overloads share the first one's
    return source.ast.statements.flatMap((statement) => {
      if (!ts.canHaveModifiers(statement)) return [];
      if (!ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) return [];
      const names = ts.isVariableStatement(statement)
        ? statement.declarationList.declarations.map(({ name }) => name.getText())
        : [(statement as ts.DeclarationStatement).name?.getText() ?? 'default'];
      if (names.every((name) => told.has(name))) return [];
      for (const name of names) told.add(name);
      const comments = ts.getLeadingCommentRanges(source.text, statement.pos) ?? [];
      // The header of a file is not the docstring of its first export, unless it stands right above it.
      const last = comments.at(-1);
      const documented =
        last !== undefined &&
        source.text.startsWith('/**', last.pos) &&
        !/\n\s*\n/.test(source.text.slice(last.end, statement.getStart()));
      return documented ? [] : [`${lineOf(source, statement)}: ${names.join(', ')}`];
    });
  });
  expectNone(offences, 'Put a /** … */ right above: what it is, shapes, units, errors, source:');
});

test('no test hides the others', () => {
  const offences = sources
    .filter(({ room }) => room === 'test')
    .flatMap((source) => {
      const found: string[] = [];
      visit(source.ast, (node) => {
        if (ts.isCallExpression(node) && /\.only$/.test(node.expression.getText()))
          found.push(lineOf(source, node));
      });
      return found;
    });
  expectNone(offences, 'Remove `.only`:');
});

test.run();
