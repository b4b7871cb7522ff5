/**
 * Colour scales for figures, light and dark. Scales are straight lines in OKLab (Ottosson 2020), where equal
 * steps look equal. Zero is the colour of the paper, so what is zero disappears; blue is positive, red is
 * negative.
 */

/** Red, green, blue, 0–255. */
export type Rgb = readonly [r: number, g: number, b: number];
/** Of the page or the terminal that a picture is for. */
export type Theme = 'light' | 'dark';
/**
 * A colour for a number: [-1, 1] on diverging scales, [0, 1] on sequential ones. Values outside take the
 * end's colour.
 */
export type Scale = (t: number) => Rgb;

/**
 * Hue angles of OKLab, in degrees, by what they stand for. `state`, `mlp` and `attn` are those of ROME's
 * figures: Purples, Greens and Reds of ColorBrewer (and matplotlib).
 */
export const hues = {
  positive: 255,
  negative: 25,
  probability: 190,
  attention: 300,
  state: 293,
  mlp: 150,
  attn: 28,
} as const;

/**
 * Where the scales begin (zero: paper with a breath of blue) and end, in each theme: lightness 0–1, chroma,
 * hue.
 */
const ENDS = {
  light: { zero: [0.972, 0.004, 265], end: [0.46, 0.15] },
  dark: { zero: [0.262, 0.012, 265], end: [0.82, 0.13] },
} as const;

/**
 * A colour from lightness 0–1, chroma (0 = grey, 0.3 = as strong as screens get) and hue in degrees; clipped
 * to sRGB.
 */
export const oklch = (lightness: number, chroma: number, hue: number): Rgb =>
  oklab(lightness, ...polar(chroma, hue));

const polar = (chroma: number, hue: number): [a: number, b: number] => [
  chroma * Math.cos((hue * Math.PI) / 180),
  chroma * Math.sin((hue * Math.PI) / 180),
];

function oklab(lightness: number, a: number, b: number): Rgb {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const light = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  const [red, green, blue] = light.map((x) => {
    const clipped = Math.min(1, Math.max(0, x));
    const gamma = clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * clipped ** (1 / 2.4) - 0.055;
    return Math.round(255 * gamma);
  });
  return [red, green, blue];
}

/** From paper at 0 to the full hue at 1. */
export function sequential(hue: number, theme: Theme): Scale {
  const { zero, end } = ENDS[theme];
  const from = [zero[0], ...polar(zero[1], zero[2])];
  const to = [end[0], ...polar(end[1], hue)];
  return (t) => {
    const x = Math.min(1, Math.max(0, t));
    const [l, a, b] = from.map((start, i) => start + (to[i] - start) * x);
    return oklab(l, a, b);
  };
}

/** Red at -1, paper at 0, blue at 1. */
export function diverging(theme: Theme): Scale {
  const [positive, negative] = [sequential(hues.positive, theme), sequential(hues.negative, theme)];
  return (t) => (t < 0 ? negative(-t) : positive(t));
}

/** Hues of neighbouring lines; lightness varies too, for eyes that do not tell all hues apart. */
const LINES = [
  [255, 0.5],
  [55, 0.66],
  [345, 0.52],
  [165, 0.6],
  [300, 0.44],
  [90, 0.56],
  [25, 0.45],
  [210, 0.62],
] as const;

/** The colour of the i-th of several lines in one plot. */
export function lineColour(i: number, theme: Theme): Rgb {
  const [hue, lightness] = LINES[i % LINES.length];
  const l = theme === 'light' ? lightness : lightness + 0.22;
  return oklch(l, 0.13, hue);
}

/** `#rrggbb` */
export const hex = (colour: Rgb): string => `#${colour.map((x) => x.toString(16).padStart(2, '0')).join('')}`;

/** From sRGB's 0–255 to an amount of light, 0–1. */
function linear(x: number): number {
  const c = x / 255;
  return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
}

/** Relative luminance, 0 (black) to 1 (white), as WCAG 2 defines it. */
export function luminance(colour: Rgb): number {
  const [r, g, b] = colour.map(linear);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Contrast of two colours by WCAG 2: 1 (none) to 21; 4.5 is enough for text. */
export function contrast(a: Rgb, b: Rgb): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

/** The contrast of text that WCAG 2.1 AA asks for. */
const AA = 4.5;

const INKS: readonly Rgb[] = [
  [10, 11, 16],
  [255, 255, 255],
];

/**
 * The colour for text on this one: near black or near white. On middling colours white is read more easily than
 * WCAG 2 says. Where neither has the contrast that WCAG AA asks for, full black has it.
 */
export const inkOn = (paper: Rgb): Rgb => {
  const [dark, light] = INKS.map((ink) => contrast(paper, ink));
  if (dark >= 1.15 * light) return INKS[0];
  if (light >= AA) return INKS[1];
  return dark >= AA ? INKS[0] : [0, 0, 0];
};

/** Lightness and the two colour axes of OKLab. */
function toOklab(colour: Rgb): [l: number, a: number, b: number] {
  const [r, g, b] = colour.map(linear);
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

/** The fixed colours of 256-colour terminals, number 16 and up: a cube of 6 × 6 × 6, then 24 greys. */
const FIXED: readonly Rgb[] = Array.from({ length: 240 }, (_, i) => {
  if (i >= 216) return [8 + 10 * (i - 216), 8 + 10 * (i - 216), 8 + 10 * (i - 216)];
  const level = (x: number) => (x === 0 ? 0 : 55 + 40 * x);
  return [level(Math.floor(i / 36)), level(Math.floor(i / 6) % 6), level(i % 6)];
});
const fixedLab = FIXED.map(toOklab);

/** The colour behind a number, 16–255. */
export const fixedColour = (code: number): Rgb => FIXED[code - 16];

/**
 * The nearest of the 240 fixed colours that a 256-colour terminal has: its number, 16–255. A wrong hue is
 * worse than a wrong lightness: red must not become grey.
 */
export function ansi256(colour: Rgb): number {
  const [l, a, b] = toOklab(colour);
  const distances = fixedLab.map(([x, y, z]) => 0.2 * (l - x) ** 2 + (a - y) ** 2 + (b - z) ** 2);
  return 16 + distances.indexOf(Math.min(...distances));
}
