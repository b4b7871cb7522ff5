/** Pictures as PDF: jsPDF and two fonts are loaded with the first one. */

import type { Figure } from '../../interp/figures/draw/drawing.js';

const FONTS = {
  regular: new URL('../../node_modules/dejavu-fonts-ttf/ttf/DejaVuSans.ttf', import.meta.url),
  bold: new URL('../../node_modules/dejavu-fonts-ttf/ttf/DejaVuSans-Bold.ttf', import.meta.url),
};

/** A figure as PDF, with text that is text. @throws when jsPDF or a font cannot be loaded */
export async function toPdf(figure: Figure): Promise<Blob> {
  const [{ jsPDF }, regular, bold] = await Promise.all([
    import('jspdf'),
    bytesOf(FONTS.regular),
    bytesOf(FONTS.bold),
  ]);
  const pdf = await figure.pdf({ jsPDF, fonts: { regular, bold } });
  return new Blob([pdf as Uint8Array<ArrayBuffer>], { type: 'application/pdf' });
}

async function bytesOf(url: URL): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok)
    throw new Error(`PDF: the font was not loaded (${response.status}); try again, or take SVG`);
  return new Uint8Array(await response.arrayBuffer());
}
