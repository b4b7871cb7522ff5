/** DejaVu Sans from npm: the font of PNG and PDF, so that no system font is needed (Node). */

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { registerPdfFonts } from './pdf.js';

/** Paths of the regular and the bold face. @throws when the package is missing */
export function fontFiles(): [regular: string, bold: string] {
  const { resolve } = createRequire(import.meta.url);
  return [
    resolve('dejavu-fonts-ttf/ttf/DejaVuSans.ttf'),
    resolve('dejavu-fonts-ttf/ttf/DejaVuSans-Bold.ttf'),
  ];
}

/** PDF is set in DejaVu Sans unless other fonts are given. */
export const registerNodeFonts = (): void =>
  registerPdfFonts(async () => {
    try {
      const [regular, bold] = await Promise.all(fontFiles().map((file) => readFile(file)));
      return { regular, bold };
    } catch (cause) {
      throw new Error(
        'PDF needs a package that is not installed here: npm install dejavu-fonts-ttf@2.37.3; or take SVG',
        { cause },
      );
    }
  });
