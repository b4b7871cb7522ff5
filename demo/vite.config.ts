/** `npm run demo` and `npm run build:demo`: the workbench is a static page with relative addresses. */

import { defineConfig } from 'vite';

export default defineConfig({
  base: './',
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
