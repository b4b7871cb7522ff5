/** `npm run demo` and `npm run build:demo`: the workbench is a static page with relative addresses. */

import { defineConfig, type Plugin } from 'vite';
import { serviceWorker } from './service-worker.js';

/** Writes `sw.js` with the names of all files of the build. */
function offline(): Plugin {
  return {
    name: 'glassbox-offline',
    apply: 'build',
    generateBundle(_, bundle) {
      const source = serviceWorker(Object.keys(bundle));
      this.emitFile({ type: 'asset', fileName: 'sw.js', source });
    },
  };
}

export default defineConfig({
  base: './',
  plugins: [offline()],
  build: {
    outDir: '../out/demo',
    emptyOutDir: true,
    target: 'esnext',
    rollupOptions: { input: ['index.html', 'bench.html'].map((name) => `${import.meta.dirname}/${name}`) },
  },
  worker: { format: 'es' },
  // jsPDF imports these for HTML and SVG, which no figure needs.
  resolve: {
    alias: ['html2canvas', 'dompurify', 'canvg'].map((find) => ({
      find,
      replacement: `${import.meta.dirname}/app/absent.ts`,
    })),
  },
  // Known beforehand: found later, Vite would reload the page.
  optimizeDeps: { include: ['@huggingface/tokenizers', 'fflate', 'jspdf', 'ml-matrix'] },
  server: { fs: { allow: ['..'] } },
});
