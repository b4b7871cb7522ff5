/**
 * The picture of architecture.md, made of the imports: `node --import tsx scripts/import-picture.ts` writes
 * docs/developing/imports.svg. A box is a folder (or a file at the root of a room), a line leads from it down
 * to a folder that it imports, types included; lines that follow from others are left out.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOMS = ['interp', 'hooks', 'engine', 'weights', 'kernels'] as const;
/** Which rooms a room may import. */
const BELOW: Readonly<Record<string, string>> = {
  interp: 'hooks, engine, weights',
  hooks: 'engine, weights',
  engine: 'weights, kernels',
  weights: 'no other room',
  kernels: 'no other room',
};
const [BOX, HIGH, GAP, STEP, LEFT, WIDTH] = [112, 24, 12, 58, 110, 1000];

/** Folders of each room, with the folders of the same room that they import. */
type Graph = ReadonlyMap<string, ReadonlySet<string>>;

/** `engine/gpu` of a file in it; a file at the root of a room stands for itself. */
function folderOf(file: string): string {
  const parts = file.split('/');
  return parts.length > 2 ? parts.slice(0, 2).join('/') : file;
}

/** Reads the imports of a room. */
export function importsOfRoom(root: string, room: string): Graph {
  const graph = new Map<string, Set<string>>();
  const files = readdirSync(path.join(root, room), { recursive: true, encoding: 'utf8' })
    .map((file) => `${room}/${file.split(path.sep).join('/')}`)
    .filter((file) => /\.ts$/.test(file) && !/\.d\.ts$/.test(file))
    .sort();
  for (const file of files) graph.set(folderOf(file), new Set());
  for (const file of files)
    for (const [, to] of readFileSync(path.join(root, file), 'utf8').matchAll(
      /(?:from|import)\s*\(?\s*'(\.[^']+)'/g,
    )) {
      const target = folderOf(path.posix.join(path.posix.dirname(file), to).replace(/\.js$/, '.ts'));
      if (graph.has(target) && target !== folderOf(file)) graph.get(folderOf(file))!.add(target);
    }
  return graph;
}

/**
 * How many imports lie below each folder at the most: 0 imports no other folder of the room.
 * @throws where folders import each other
 */
export function depthsOf(graph: Graph): Map<string, number> {
  const depths = new Map<string, number>();
  const depth = (folder: string, above: readonly string[]): number => {
    if (above.includes(folder))
      throw new Error(`folders import each other: ${[...above, folder].join(' → ')}`);
    const known = depths.get(folder);
    if (known !== undefined) return known;
    const below = [...graph.get(folder)!].map((to) => depth(to, [...above, folder]));
    const own = below.length ? Math.max(...below) + 1 : 0;
    depths.set(folder, own);
    return own;
  };
  for (const folder of graph.keys()) depth(folder, []);
  return depths;
}

/** Imports that do not follow from others. */
function needed(graph: Graph): [string, string][] {
  const reaches = (from: string, to: string): boolean =>
    [...graph.get(from)!].some((next) => next === to || reaches(next, to));
  return [...graph].flatMap(([from, all]) =>
    [...all]
      .filter((to) => ![...all].some((other) => other !== to && reaches(other, to)))
      .map((to): [string, string] => [from, to]),
  );
}

/** One room: its height, and what is drawn in it. */
function roomAt(room: string, graph: Graph, top: number): { height: number; svg: string[] } {
  const depths = depthsOf(graph);
  const levels = Math.max(...depths.values()) + 1;
  const height = levels * STEP + 14;
  const place = new Map<string, [x: number, y: number]>();
  for (let d = 0; d < levels; d++) {
    const row = [...graph.keys()].filter((folder) => depths.get(folder) === d);
    const start = LEFT + (WIDTH - LEFT - row.length * (BOX + GAP)) / 2 + ((d % 2) * (BOX + GAP)) / 4;
    row.forEach((folder, i) => {
      place.set(folder, [start + i * (BOX + GAP), top + height - (d + 1) * STEP + 12]);
    });
  }
  const lines = needed(graph).map(([from, to]) => {
    const [[x1, y1], [x2, y2]] = [place.get(from)!, place.get(to)!];
    const [a, b] = [x1 + BOX / 2, x2 + BOX / 2];
    return `<path d="M${a} ${y1 + HIGH}C${a} ${y1 + HIGH + 18} ${b} ${y2 - 22} ${b} ${y2 - 3}" marker-end="url(#to)"/>`;
  });
  const boxes = [...place].map(([folder, [x, y]]) => {
    const label = folder.slice(room.length + 1);
    return (
      `<rect x="${x}" y="${y}" width="${BOX}" height="${HIGH}" rx="4"/>` +
      `<text x="${x + BOX / 2}" y="${y + 16}" text-anchor="middle">${label}</text>`
    );
  });
  const panel = `<rect class="room" x="4" y="${top}" width="${WIDTH - 8}" height="${height - 6}" rx="8"/>`;
  const words =
    `<text class="name" x="16" y="${top + 24}">${room}</text>` +
    `<text class="note" x="16" y="${top + 42}">uses</text>` +
    BELOW[room]
      .split(', ')
      .map((other, i) => `<text class="note" x="16" y="${top + 58 + i * 15}">${other}</text>`)
      .join('');
  return { height, svg: [panel, words, ...lines, ...boxes] };
}

/** The picture, as SVG. */
export function importPicture(root: string): string {
  const svg: string[] = [];
  let top = 4;
  for (const room of ROOMS) {
    const drawn = roomAt(room, importsOfRoom(root, room), top);
    svg.push(...drawn.svg);
    top += Math.max(drawn.height, 108);
  }
  const style = [
    'text{font:12px system-ui,sans-serif;fill:#1b1f24}.name{font-weight:700;font-size:15px}.note{fill:#57606a}',
    'rect{fill:#fff;stroke:#8c959f}.room{fill:#f3f5f8;stroke:none}path{fill:none;stroke:#6a737d;stroke-width:1}',
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top + 4}" role="img"`,
    'aria-label="The folders of each room, and which of them each imports: all lines lead down">',
    `<style>${style.join('')}</style>`,
    '<defs><marker id="to" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" markerHeight="6" orient="auto">',
    '<path d="M0 0L6 3L0 6z" style="fill:#6a737d"/></marker></defs>',
    `<rect width="${WIDTH}" height="${top + 4}" style="fill:#fff;stroke:none"/>`,
    ...svg,
    '</svg>',
    '',
  ].join('\n');
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  writeFileSync(path.join(root, 'docs/developing/imports.svg'), importPicture(root));
}
