/**
 * Colour scales for figures, light and dark. Scales are straight lines in OKLab (Ottosson 2020), where equal steps look
 * equal. Zero is the colour of the paper, so what is zero disappears; blue is positive, red is negative.
 */

/** Red, green, blue, 0–255. */
export type Rgb = readonly [r: number, g: number, b: number];
/** Of the page or the terminal that a picture is for. */
export type Theme = 'light' | 'dark';
/** A colour for a number: [-1, 1] on diverging scales, [0, 1] on sequential ones. Values outside take the end's colour. */
export type Scale = (t: number) => Rgb;

/** Hue angles of OKLab, in degrees, by what they stand for. */
export const hues = { positive: 255, negative: 25, probability: 190, attention: 300 } as const;

/** Where the scales begin (zero: paper with a breath of blue) and end, in each theme: lightness 0–1, chroma, hue. */
const ENDS = {
  light: { zero: [0.972, 0.004, 265], end: [0.46, 0.15] },
  dark: { zero: [0.262, 0.012, 265], end: [0.82, 0.13] },
} as const;

/** A colour from lightness 0–1, chroma (0 = grey, 0.3 = as strong as screens get) and hue in degrees; clipped to sRGB. */
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
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  const [red, green, blue] = linear.map((x) => {
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

/** `#rrggbb` */
export const hex = (colour: Rgb): string => `#${colour.map((x) => x.toString(16).padStart(2, '0')).join('')}`;

/** Relative luminance, 0 (black) to 1 (white), as WCAG 2 defines it. */
export function luminance(colour: Rgb): number {
  const [r, g, b] = colour.map((x) => {
    const c = x / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Contrast of two colours by WCAG 2: 1 (none) to 21; 4.5 is enough for text. */
export function contrast(a: Rgb, b: Rgb): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

const INKS: readonly Rgb[] = [
  [10, 11, 16],
  [255, 255, 255],
];

/** The colour for text on this one: near black or near white. On middling colours white is read more easily than WCAG 2 says. */
export const inkOn = (paper: Rgb): Rgb =>
  contrast(paper, INKS[0]) >= 1.15 * contrast(paper, INKS[1]) ? INKS[0] : INKS[1];

/** Steps of the colour cube of 256-colour terminals. */
const CUBE = [0, 95, 135, 175, 215, 255];

/** The nearest of the 240 fixed colours that a 256-colour terminal has: its number, 16–255. */
export function ansi256(colour: Rgb): number {
  const nearest = colour.map((x) =>
    CUBE.reduce((best, level, i) => (Math.abs(level - x) < Math.abs(CUBE[best] - x) ? i : best), 0),
  );
  const grey = Math.min(23, Math.max(0, Math.round((colour.reduce((a, b) => a + b, 0) / 3 - 8) / 10)));
  const distance = (other: readonly number[]) => colour.reduce((d, x, i) => d + (x - other[i]) ** 2, 0);
  const level = 8 + 10 * grey;
  const cube = distance(nearest.map((i) => CUBE[i]));
  return distance([level, level, level]) < cube
    ? 232 + grey
    : 16 + 36 * nearest[0] + 6 * nearest[1] + nearest[2];
}
