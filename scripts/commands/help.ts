/** What `--help` prints. */

import { wrap } from '../start/print.js';
import type { Command, Form } from './command.js';
import type { Program } from './programs.js';

const WIDTH = 110;

const FORMS: Record<Form, string> = {
  json: '  --json [F.json]    the numbers as JSON, instead of the text, or into a file',
  csv: '  --csv [F.csv]      the numbers as CSV, instead of the text, or into a file',
  html: '  --html FILE        a page with the figures, to point at',
  svg: '  --svg FILE         the figure as SVG',
  png: '  --png FILE         the figure as PNG',
  pdf: '  --pdf FILE         the figure as PDF, with text that can be searched',
};

const MODEL = `  --model NAME       tiny (shipped, the default), gpt2, gpt2-medium, gpt2-large, gpt2-xl, owner/name, ./folder or a URL
  --dtype FORMAT     of the weights on the GPU: f32, f16 (half the memory, weights rounded), q8 (a quarter), q4 (a seventh);
                     default: f32, quantised GGUF files as they are
  --with LIST        changes of the model in every run, as JSON or a file with it: '[{"at":"z","layer":1,"head":2,"zero":true}]'
  --adapter-weights FOLDER   a LoRA adapter of PEFT that is added to the model: a folder, owner/name or a URL
  --no-processing    leave the weights as they are (default: layer norm folded and weights centred, as in TransformerLens)
  --no-bos           do not put the beginning-of-text token before texts`;

const COMMON = `  --adapter NAME     auto (the default), hardware, software, opengles, or a GPU: its index or a part of its name (see doctor)
  --no-color         plain text (so does NO_COLOR=1)
  --help, -h`;

/** The help of a command. */
export function commandHelp({ name, about, usage, help, forms, examples, modelFree }: Command): string {
  const own = help.trimEnd();
  const options = [own, ...forms.map((f) => FORMS[f]), modelFree ? '' : MODEL, COMMON].filter(Boolean);
  return `${wrap(about, WIDTH).join('\n')}

Usage: npx --no-install glassbox ${name}${usage && ` ${usage}`} [options]

${options.join('\n')}

Examples (glassbox stands for npx --no-install glassbox):
${examples.map((e) => `  glassbox ${e}`).join('\n')}
`;
}

/** The help of the whole program. */
export function mainHelp(commands: readonly Command[], programs: readonly Program[]): string {
  const width = Math.max(...[...commands, ...programs].map((c) => c.name.length));
  const line = ({ name, summary }: Program | Command) => `  ${name.padEnd(width)}  ${summary}`;
  const list = commands.map(line);
  return `Glassbox: look into a GPT-2 from the command line.

Usage: npx --no-install glassbox COMMAND [arguments] [options]
       npx --no-install glassbox COMMAND --help

${list.join('\n')}

With options of their own (COMMAND --help):
${programs.map(line).join('\n')}

Everywhere else:
${MODEL}
  --json, --csv      print numbers instead of text; with a file name (--csv map.csv) into a file
  --html, --svg, --png, --pdf FILE   the figures
${COMMON}
  --version

A PROMPT that is - is read from stdin. Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted.

Examples:
  npx --no-install glassbox test-prompt "After John and Mary went to the store, John gave a bottle of milk to" " Mary"
  npx --no-install glassbox lens "The Space Needle is in downtown" --html lens.html
  npx --no-install glassbox patch --clean "When John and Mary went to the shops, John gave the bag to" \\
                                  --corrupted "When John and Mary went to the shops, Mary gave the bag to" \\
                                  --answer " Mary" --wrong " John" --png patching.png
  echo "The capital of France is" | npx --no-install glassbox generate - --model gpt2 --json
`;
}
