/**
 * Pictures as PDF, with text that is text: jsPDF writes the file, and this file draws what our SVG consists
 * of: groups that are moved, rectangles, lines, circles, paths and text. jsPDF is loaded when the first PDF
 * is made.
 */

import type { jsPDF } from 'jspdf';

/** TrueType files that text is set in. */
export interface PdfFonts {
  readonly regular: Uint8Array;
  /** Default: `regular`. */
  readonly bold?: Uint8Array;
}

/** Options of `figure(…).pdf()`. */
export interface PdfOptions {
  /** Default in Node: DejaVu Sans, from npm. A page has none of its own, and must give them. */
  readonly fonts?: PdfFonts;
  /**
   * Default: that of the installed package. A page that is bundled gives its own: `(await
   * import('jspdf')).jsPDF`.
   */
  readonly jsPDF?: typeof jsPDF;
}

let usual: (() => Promise<PdfFonts>) | null = null;

/** Sets where the usual fonts come from. */
export function registerPdfFonts(load: () => Promise<PdfFonts>): void {
  usual = load;
}

/** Points of a pixel: CSS has 96 pixels an inch, PDF 72 points. */
const POINTS = 0.75;
const FAMILY = 'figure';

/**
 * A page as large as the picture (a pixel is 0.75 points), with its shapes as vectors and its text as text.
 * Characters that the font lacks are drawn as a box.
 * @param svg of the light or dark theme, as `figure(…).svg(theme)` gives it
 * @throws when jsPDF is not installed, or there are no fonts
 */
export async function pdfOf(
  svg: string,
  title: string,
  { fonts, jsPDF: given }: PdfOptions = {},
): Promise<Uint8Array> {
  if (!fonts && !usual) throw new Error('pdf: fonts are missing: { fonts: { regular } }, a TrueType file');
  const Pdf = given ?? (await installed());
  const { regular, bold = regular } = fonts ?? (await usual!());
  const size = (name: string) => POINTS * Number(new RegExp(`<svg[^>]* ${name}="([\\d.]+)"`).exec(svg)![1]);
  const format = [size('width'), size('height')];
  const orientation = format[0] > format[1] ? 'landscape' : 'portrait';
  const doc = new Pdf({ unit: 'pt', format, orientation, compress: true, putOnlyUsedFonts: true });
  for (const [style, data] of Object.entries({ normal: regular, bold })) {
    doc.addFileToVFS(`${style}.ttf`, binary(data));
    doc.addFont(`${style}.ttf`, FAMILY, style);
  }
  doc.setProperties({ title, creator: 'Glassbox' });
  draw(doc, svg, format);
  return new Uint8Array(doc.output('arraybuffer'));
}

/**
 * The optional package, by a name that a bundler cannot work out: it must not fail where it is not installed.
 */
async function installed(): Promise<typeof jsPDF> {
  const name = ['js', 'pdf'].join('');
  const loaded: Promise<typeof import('jspdf')> = import(/* @vite-ignore */ name);
  const { jsPDF } = await loaded.catch((cause) => {
    throw new Error(
      'PDF needs a package that is not here: npm install jspdf@4.2.1, in a bundled page { jsPDF }; or take SVG',
      { cause },
    );
  });
  return jsPDF;
}

/** Bytes as jsPDF wants them: a character each. */
function binary(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let i = 0; i < bytes.length; i += 8192)
    parts.push(String.fromCharCode(...bytes.subarray(i, i + 8192)));
  return parts.join('');
}

type Attributes = Readonly<Record<string, string>>;

/** What is inherited. */
interface State {
  /** Where the origin is, in pixels of the picture. */
  readonly x: number;
  readonly y: number;
  /** Degrees, clockwise, by which what is drawn is turned about the origin. */
  readonly turn: number;
  readonly attributes: Attributes;
}

/** A piece of a line of text, in one style. */
interface Piece {
  readonly text: string;
  readonly attributes: Attributes;
}

/** Goes through the elements, from the outside to the inside. */
function draw(doc: jsPDF, svg: string, [width, height]: readonly number[]): void {
  const rules = readStyle(/<style>([\s\S]*?)<\/style>/.exec(svg)?.[1] ?? '');
  const stack: State[] = [{ x: 0, y: 0, turn: 0, attributes: { 'font-size': '12' } }];
  let line: { readonly state: State; readonly pieces: Piece[] } | null = null;
  let silent = 0; // within <title> and <style>
  for (const [, closing, name, rest, alone, text] of svg.matchAll(
    /<(\/)?([a-zA-Z]+)((?:\s[^<>]*?)?)(\/)?>|([^<]+)/g,
  )) {
    const top = stack.at(-1)!;
    if (text !== undefined) {
      if (!silent && line) line.pieces.push({ text: unescaped(text), attributes: top.attributes });
    } else if (name === 'title' || name === 'style') silent += closing ? -1 : 1;
    else if (closing) {
      if (name === 'text' && line) write(doc, line.state, line.pieces);
      if (name === 'text') line = null;
      stack.pop();
    } else {
      const own = attributesOf(name, rest, rules, top.attributes);
      const state = { ...moved(top, own.transform), attributes: own };
      if (name === 'text') line = { state, pieces: [] };
      else if (name !== 'svg' && name !== 'g' && name !== 'tspan') shape(doc, name, state, [width, height]);
      if (!alone) stack.push(state);
    }
  }
}

/** An origin after `translate(x y)` and `rotate(degrees)`, or `rotate(degrees x y)`. */
function moved(from: State, transform = ''): Pick<State, 'x' | 'y' | 'turn'> {
  let { x, y, turn } = from;
  const by = (dx: number, dy: number) => {
    const angle = (turn * Math.PI) / 180;
    x += dx * Math.cos(angle) - dy * Math.sin(angle);
    y += dx * Math.sin(angle) + dy * Math.cos(angle);
  };
  for (const [, name, text] of transform.matchAll(/(\w+)\(([^)]*)\)/g)) {
    const [first, a = 0, b = 0] = text.split(/[ ,]+/).map(Number);
    if (name === 'translate') by(first, a);
    else if (name === 'rotate') {
      by(a, b);
      turn += first;
      by(-a, -b);
    } else throw new Error(`pdf: a picture has the transform ${name}, which is not drawn yet`);
  }
  return { x, y, turn };
}

/** Attributes that elements within do not have from those around them. */
const OWN = new Set(['x', 'y', 'width', 'height', 'rx', 'transform', 'class', 'style', 'd', 'r', 'cx', 'cy']);

/** Attributes of an element: those around it, its own, then what the style sheet says. */
function attributesOf(
  name: string,
  text: string,
  rules: ReadonlyMap<string, Attributes>,
  around: Attributes,
): Attributes {
  const inherited = Object.entries(around).filter(([key]) => !OWN.has(key));
  const own = Object.fromEntries(
    [...text.matchAll(/([\w:-]+)="([^"]*)"/g)].map(([, k, v]) => [k, unescaped(v)]),
  );
  const classes = (own.class ?? '')
    .split(' ')
    .flatMap((c) => (rules.has(`.${c}`) ? [rules.get(`.${c}`)!] : []));
  return Object.assign(
    {},
    Object.fromEntries(inherited),
    own,
    rules.get(name),
    ...classes,
    declared(own.style),
  );
}

/** Rules of the style sheet that every picture has: of elements (`text`) and of classes (`.faint`). */
function readStyle(css: string): Map<string, Attributes> {
  const rules = new Map<string, Attributes>();
  for (const [, selector, body] of css.matchAll(/\.gb-map ([.\w]+)\{([^}]*)\}/g))
    rules.set(selector, { ...rules.get(selector), ...declared(body) });
  return rules;
}

const declared = (text = ''): Attributes =>
  Object.fromEntries(
    [...text.matchAll(/([\w-]+)\s*:\s*([^;]+)/g)].map(([, key, value]) => [key, value.trim()]),
  );

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
const unescaped = (text: string): string =>
  text.replace(/&(?:#(\d+)|#x([\da-f]+)|(\w+));/gi, (all, decimal, hex, name) =>
    name
      ? (ENTITIES[name] ?? all)
      : String.fromCodePoint(decimal ? Number(decimal) : Number.parseInt(hex, 16)),
  );

const painted = (colour: string | undefined): colour is string => !!colour && colour !== 'none';

/** A rectangle, line, circle or path. */
function shape(
  doc: jsPDF,
  name: string,
  { x, y, turn, attributes: a }: State,
  page: readonly number[],
): void {
  if (turn) throw new Error(`pdf: a <${name}> is turned, which is not drawn yet`);
  const number = (key: string) => Number.parseFloat(a[key] ?? '0') * POINTS;
  const [left, top] = [x * POINTS, y * POINTS];
  const fill = name !== 'line' && a.fill !== 'none';
  const stroke = painted(a.stroke);
  if (!fill && !stroke) return;
  if (fill) doc.setFillColor(a.fill ?? '#000000');
  if (stroke) doc.setDrawColor(a.stroke);
  doc.setLineWidth(Number.parseFloat(a['stroke-width'] ?? '1') * POINTS);
  const dashes = (a['stroke-dasharray'] ?? '').match(/[\d.]+/g) ?? [];
  doc.setLineDashPattern(
    dashes.map((n) => Number(n) * POINTS),
    0,
  );
  const opacity = Number(a.opacity ?? 1);
  const state = doc.GState({
    opacity: opacity * Number(a['fill-opacity'] ?? 1),
    'stroke-opacity': opacity * Number(a['stroke-opacity'] ?? 1),
  });
  doc.setGState(state);
  const how = fill && stroke ? 'FD' : fill ? 'F' : 'S';
  if (name === 'rect') {
    const side = (key: 'width' | 'height', i: number) => (a[key]?.endsWith('%') ? page[i] : number(key));
    const at = [left + number('x'), top + number('y'), side('width', 0), side('height', 1)] as const;
    const corner = Math.min(number('rx'), at[2] / 2, at[3] / 2);
    if (corner) doc.roundedRect(...at, corner, corner, how);
    else doc.rect(...at, how);
  } else if (name === 'circle') doc.circle(left + number('cx'), top + number('cy'), number('r'), how);
  else if (name === 'line')
    doc.line(left + number('x1'), top + number('y1'), left + number('x2'), top + number('y2'));
  else if (name === 'path') {
    doc.path(pathOf(a.d, left, top));
    if (how === 'FD') doc.fillStroke();
    else if (fill) doc.fill();
    else doc.stroke();
  } else throw new Error(`pdf: a picture has a <${name}>, which is not drawn yet`);
}

const OPERATIONS: Readonly<Record<string, readonly [op: 'm' | 'l' | 'c' | 'h', numbers: number]>> = {
  M: ['m', 2],
  L: ['l', 2],
  C: ['c', 6],
  Z: ['h', 0],
};

/** A path of absolute moves, lines and curves. */
function pathOf(d: string, left: number, top: number): { op: 'm' | 'l' | 'c' | 'h'; c: number[] }[] {
  return [...d.matchAll(/([A-Za-z])([^A-Za-z]*)/g)].flatMap(([, letter, text]) => {
    const operation = OPERATIONS[letter.toUpperCase() === 'Z' ? 'Z' : letter];
    if (!operation) throw new Error(`pdf: a path has the operation ${letter}, which is not drawn yet`);
    const [op, count] = operation;
    const numbers = (text.match(/-?[\d.]+(?:e-?\d+)?/g) ?? []).map(
      (n, i) => Number(n) * POINTS + (i % 2 ? top : left),
    );
    if (!count) return [{ op, c: [] }];
    return Array.from({ length: numbers.length / count }, (_, i) => ({
      op: op === 'm' && i ? ('l' as const) : op,
      c: numbers.slice(i * count, (i + 1) * count),
    }));
  });
}

/** A line of text, whose pieces may differ in style. */
function write(doc: jsPDF, { x, y, turn, attributes: a }: State, pieces: readonly Piece[]): void {
  const styled = (p: Piece) => {
    const weight = p.attributes['font-weight'] ?? '400';
    doc.setFont(FAMILY, weight === 'bold' || Number(weight) >= 600 ? 'bold' : 'normal');
    doc.setFontSize(Number.parseFloat(p.attributes['font-size']) * POINTS);
    doc.setTextColor(p.attributes.fill ?? '#000000');
  };
  const widths = pieces.map((p) => {
    styled(p);
    return doc.getTextWidth(p.text);
  });
  const whole = widths.reduce((sum, w) => sum + w, 0);
  const share = a['text-anchor'] === 'middle' ? 0.5 : a['text-anchor'] === 'end' ? 1 : 0;
  const angle = (turn * Math.PI) / 180;
  const [down, right] = [Math.sin(angle), Math.cos(angle)];
  const [ownX, ownY] = [Number(a.x ?? 0) * POINTS - share * whole, Number(a.y ?? 0) * POINTS];
  doc.setGState(doc.GState({ opacity: Number(a.opacity ?? 1) }));
  let along = ownX;
  pieces.forEach((p, i) => {
    styled(p);
    const at = [x * POINTS + along * right - ownY * down, y * POINTS + along * down + ownY * right] as const;
    if (p.text) doc.text(p.text, ...at, turn ? { angle: -turn } : {});
    along += widths[i];
  });
}
