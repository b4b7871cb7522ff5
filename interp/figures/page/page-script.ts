/**
 * The script of a page of figures: tooltips, and attention that follows the pointer. Plain JavaScript in a
 * string, because the page is one file without a build; it needs nothing to be loaded, and without it the
 * figures are still there.
 */
export const pageScript = `
const tip = document.createElement('div');
tip.className = 'tip';
document.body.append(tip);
for (const title of document.querySelectorAll('svg title')) {
  title.parentNode.dataset.tip = title.textContent;
  title.remove();
}
const place = (x, y) => {
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = Math.max(6, Math.min(innerWidth - width - 6, x + 14)) + 'px';
  tip.style.top = (y + height + 24 > innerHeight ? y - height - 12 : y + 16) + 'px';
};
const showTip = (target, x, y) => {
  const holder = target && target.closest ? target.closest('[data-tip]') : null;
  tip.hidden = !holder;
  if (!holder) return;
  tip.textContent = holder.dataset.tip;
  place(x, y);
};
tip.hidden = true;
addEventListener('pointermove', (e) => showTip(e.target, e.clientX, e.clientY));
addEventListener('pointerdown', (e) => showTip(e.target, e.clientX, e.clientY));
document.documentElement.addEventListener('pointerleave', () => (tip.hidden = true));
addEventListener('scroll', () => (tip.hidden = true), { passive: true, capture: true });

// What is too wide begins at its right end, at the last token.
for (const box of document.querySelectorAll('.scroll')) if (!box.closest('#attention')) box.scrollLeft = box.scrollWidth;

// A link to a section that is folded unfolds it.
const unfold = () => {
  const section = location.hash && document.getElementById(location.hash.slice(1));
  const fold = section && section.querySelector('details');
  if (fold) fold.open = true;
};
addEventListener('hashchange', unfold);
unfold();
for (const link of document.querySelectorAll('.contents a'))
  link.addEventListener('click', () => {
    const fold = document.querySelector(link.getAttribute('href') + '>details');
    if (fold) fold.open = true;
  });

const holder = document.getElementById('attention-data');
if (holder) attention(JSON.parse(holder.textContent));

function attention(d) {
  const root = document.getElementById('attention');
  const bytes = Uint8Array.from(atob(d.patterns), (c) => c.charCodeAt(0));
  const n = d.labels.length;
  const weight = (l, h, q, k) => {
    const at = 2 * (((d.single ? 0 : l * d.heads + h) * n + q) * n + k);
    return (bytes[at] + 256 * bytes[at + 1]) / 65535;
  };
  const step = (w) => Math.round(w * (d.light.length - 1));
  const percent = (w) => (100 * w).toFixed(1) + '%';
  const tokens = [...root.querySelectorAll('.tok')];
  const cells = [...root.querySelectorAll('.gb-map .c[data-at]')].map((rect) => [rect, ...rect.dataset.at.split(',').map(Number)]);
  const buttons = [...root.querySelectorAll('.heads button')];
  let { layer, head } = d;
  let query = n - 1;

  const drawText = () => {
    tokens.forEach((token, k) => {
      const w = k <= query ? weight(layer, head, query, k) : 0;
      const i = step(w);
      const set = (name, value) => token.style.setProperty(name, value);
      set('--l', d.light[i]);
      set('--d', d.dark[i]);
      set('--il', d.inkLight[i]);
      set('--id', d.inkDark[i]);
      token.classList.toggle('from', k === query);
      token.classList.toggle('later', k > query);
      token.dataset.tip = k <= query ? d.labels[query] + ' → ' + d.labels[k] + '\\n' + percent(w) : 'later: cannot be seen from ' + d.labels[query];
    });
    root.querySelector('.from-label').textContent = d.labels[query];
    for (const [rect, q] of cells) rect.classList.toggle('row', q === query);
  };
  const drawMap = () => {
    for (const [rect, q, k] of cells) {
      const w = weight(layer, head, q, k);
      const i = step(w);
      rect.setAttribute('fill', d.light[i]);
      rect.style.setProperty('--d', d.dark[i]);
      rect.dataset.tip = 'head ' + layer + '.' + head + '\\n' + d.labels[q] + ' → ' + d.labels[k] + '\\n' + percent(w);
    }
    root.closest('section').querySelectorAll('.head-name').forEach((e) => (e.textContent = layer + '.' + head));
    for (const b of buttons) b.setAttribute('aria-pressed', String(+b.dataset.layer === layer && +b.dataset.head === head));
  };
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  const drawHeads = () => {
    const ramp = (scheme.matches ? d.dark : d.light).map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
    for (const b of buttons) {
      const canvas = b.firstChild;
      canvas.width = canvas.height = n;
      const context = canvas.getContext('2d');
      const image = context.createImageData(n, n);
      for (let q = 0; q < n; q++)
        for (let k = 0; k <= q; k++)
          image.data.set([...ramp[step(weight(+b.dataset.layer, +b.dataset.head, q, k))], 255], 4 * (q * n + k));
      context.putImageData(image, 0, 0);
    }
  };
  scheme.addEventListener('change', drawHeads);
  const look = (q) => {
    if (q === query) return;
    query = q;
    drawText();
  };
  tokens.forEach((token, i) => {
    token.tabIndex = 0;
    token.addEventListener('pointerenter', () => look(i));
    token.addEventListener('focus', () => look(i));
  });
  for (const [rect, q] of cells) rect.addEventListener('pointerenter', () => look(q));
  root.querySelector('.strip').addEventListener('pointerleave', () => look(n - 1));
  for (const b of buttons)
    b.addEventListener('click', () => {
      layer = +b.dataset.layer;
      head = +b.dataset.head;
      drawMap();
      drawText();
    });
  drawHeads();
  drawMap();
  drawText();
}
`;

/**
 * SHA-256 of the script, by which a page's Content-Security-Policy allows it and no other. A test holds it to
 * the text.
 */
export const PAGE_SCRIPT_HASH = 'sha256-9FWMDAKw1WCpV630CBIRCbzaP47g3+E4AFT97wS7TCw=';
