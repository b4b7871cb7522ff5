/**
 * A notebook as a program of one's own: its file in JavaScript, on the package, with inputs and a few lines
 * that run it.
 */

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { NotebookInputs } from '../../index.js';

/** Stands for an empty line while types are taken off, which would lose it. */
const EMPTY = '//@empty';

/**
 * The program's text.
 * @param name of the notebook
 * @param inputs that were brought along: they stand in the program
 * @param model that it runs on where no other is named
 */
export function ejected(name: string, inputs: NotebookInputs, model: string): string {
  const body = scriptOf(name)
    .replace(/from '\.\.\/\.\.\/index\.js'/g, "from 'glassbox'")
    .replace(/^import \{/m, 'import {\n  runNotebook,\n  saveReport,\n')
    .replace(/^export const notebook/m, 'const notebook');
  const given = JSON.stringify(inputs, null, 2);
  return `${body.includes('HookedTransformer,') ? body : body.replace(/^import \{/m, 'import {\n  HookedTransformer,')}
/** Prompts, names, templates, … of your own; without them the notebook's. */
const inputs = ${given};

const name = process.argv[2] ?? ${JSON.stringify(model)};
const load = typeof notebook.load === 'function' ? notebook.load(name) : notebook.load;
const model = await HookedTransformer.fromPretrained(name, load);
const { report } = await runNotebook(notebook, model, { inputs });
console.log(report.lines({}, { verbose: true }).join('\\n'));
const files = await saveReport(report, 'out/${name}');
console.log(\`\${files.length} files in out/${name}\`);
model.dispose();
`;
}

/** The notebook's file without types: as it was built, or from its source in a clone. */
function scriptOf(name: string): string {
  const built = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  if (existsSync(built)) return readFileSync(built, 'utf8').replace(/^\/\/# sourceMappingURL=.*$/m, '');
  const source = readFileSync(new URL(`./${name}.ts`, import.meta.url), 'utf8');
  const ts = createRequire(import.meta.url)('typescript') as typeof import('typescript');
  const marked = source.replace(/^$/gm, EMPTY);
  const { outputText } = ts.transpileModule(marked, {
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
    },
  });
  return outputText.replaceAll(EMPTY, '');
}
