/**
 * Pictures as PNG, without a browser: resvg draws them, with DejaVu Sans, both from npm. No system font is
 * needed.
 */

import { fontFiles } from '../interp/figures/draw/fonts-node.js';

/** Pixels of the PNG for one of the SVG: sharp on a page and on paper. */
const ZOOM = 2;

/**
 * A PNG of an SVG. Its theme must be `light` or `dark`: resvg follows no reader's. @throws when the packages
 * are missing.
 */
export async function renderPng(svg: string): Promise<Uint8Array> {
  const { Resvg, fontFiles } = await packages().catch((cause) => {
    throw new Error(
      'PNG needs two packages that are not installed here: npm install @resvg/resvg-js@2.6.2 dejavu-fonts-ttf@2.37.3; or take SVG',
      { cause },
    );
  });
  const family = 'DejaVu Sans';
  const font = { loadSystemFonts: false, fontFiles, defaultFontFamily: family, sansSerifFamily: family };
  return new Resvg(svg, { fitTo: { mode: 'zoom', value: ZOOM }, font }).render().asPng();
}

async function packages() {
  const { Resvg } = await import('@resvg/resvg-js');
  return { Resvg, fontFiles: fontFiles() };
}
