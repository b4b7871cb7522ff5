/** The style sheet of a page of figures, light and dark. */

import { hex, hues, oklch } from '../draw/colour.js';
import { svgStyle } from '../draw/svg-parts.js';

const strong = (hue: number, lightness: number, chroma = 0.14): string => hex(oklch(lightness, chroma, hue));

const light = `--paper:#fbfbfa;--card:#fff;--ink:#1b1d24;--soft:#5a5f6e;--faint:#868b99;--line:#e6e6e3;
--blue:${strong(hues.positive, 0.5)};--red:${strong(hues.negative, 0.53)};--teal:${strong(hues.probability, 0.58, 0.1)};--violet:${strong(hues.attention, 0.5)};
--blue-soft:${strong(hues.positive, 0.94, 0.03)};--red-soft:${strong(hues.negative, 0.94, 0.03)}`;
const dark = `--paper:#0f1115;--card:#16181d;--ink:#eceef4;--soft:#a6abba;--faint:#7b8192;--line:#272a33;
--blue:${strong(hues.positive, 0.76, 0.12)};--red:${strong(hues.negative, 0.74, 0.13)};--teal:${strong(hues.probability, 0.76, 0.1)};--violet:${strong(hues.attention, 0.78, 0.12)};
--blue-soft:${strong(hues.positive, 0.32, 0.06)};--red-soft:${strong(hues.negative, 0.32, 0.06)}`;

/** All of it. Cells carry their colours as `--l`, `--d` (and `--il`, `--id` for the text on them). */
export const pageStyle = `
:root{color-scheme:light dark;${light}}
@media (prefers-color-scheme:dark){:root{${dark}}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.6 "Inter","Open Sans","Segoe UI",system-ui,-apple-system,sans-serif;-webkit-font-smoothing:antialiased}
main{max-width:1120px;margin:0 auto;padding:44px 28px 72px}
code,.strip,.lens,.mono{font-family:"JetBrains Mono","SFMono-Regular",Menlo,Consolas,"DejaVu Sans Mono",monospace}
.brand{display:flex;align-items:center;gap:10px;margin:0 0 28px;font-size:13px;font-weight:600;letter-spacing:.09em;text-transform:uppercase;color:var(--soft)}
.brand svg{width:22px;height:22px}
h1{margin:0 0 8px;font-size:33px;line-height:1.22;font-weight:650;letter-spacing:-.018em;text-wrap:balance}
.warning{display:block;color:var(--red);font-weight:600}
.lead{margin:0 0 26px;max-width:68ch;color:var(--soft);font-size:17px}
h2{margin:0 0 4px;font-size:21px;line-height:1.3;font-weight:650;letter-spacing:-.01em}
h2 .no{margin-right:10px;color:var(--faint);font-weight:500}
section{margin-top:34px;padding:26px 28px 20px;border:1px solid var(--line);border-radius:14px;background:var(--card)}
section>p:not([class]){margin:0 0 18px;max-width:74ch;color:var(--soft);font-size:15px}
b,strong{font-weight:650}
section p:not([class]){max-width:74ch;color:var(--soft);font-size:15px}
section h3{margin:22px 0 4px;font-size:15.5px;font-weight:650}
section pre{margin:8px 0 14px;padding:10px 14px;border-radius:8px;background:var(--paper);font:12.5px/1.5 "JetBrains Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;overflow-x:auto}
summary{cursor:pointer}summary h2{display:inline}details[open]>summary{margin-bottom:8px}
.contents{margin:0 0 10px}.contents ol{margin:0;padding-left:22px;columns:2;column-gap:36px;font-size:14.5px;line-height:1.75}
.contents a{color:var(--blue);text-decoration:none}.contents a:hover{text-decoration:underline}
.findings{margin:0 0 22px;padding:16px 22px 16px 40px;border:1px solid var(--line);border-radius:14px;background:var(--card)}
.findings.quiet{color:var(--soft);font-size:14px}
.beside{display:flex;flex-wrap:wrap;gap:8px 28px;align-items:flex-start}.beside>div{min-width:0;max-width:100%}
.source.own{margin:4px 0 14px;padding:0;border:0}
.scroll{overflow-x:auto}.scroll .gb-map{max-width:none}
.pair{display:grid;grid-template-columns:auto 1fr auto;gap:10px 16px;align-items:baseline;padding:18px 22px;border:1px solid var(--line);border-radius:14px;background:var(--card)}
.pair dt{margin:0;font-size:13px;color:var(--faint)}
.pair dd{margin:0}
.pair .num{font-size:13px;white-space:nowrap;color:var(--soft)}
.strip{font-size:13.5px;line-height:2;overflow-wrap:anywhere}
.tok{padding:3px 1px;border-radius:4px}
.tok.new{background:var(--blue-soft);color:var(--blue);font-weight:700}
.tok.old{background:var(--red-soft);color:var(--red);font-weight:700}
.chip{display:inline-block;padding:1px 8px;border-radius:99px;font-size:13px;font-weight:600}
.chip.answer{background:var(--blue-soft);color:var(--blue)}
.chip.wrong{background:var(--red-soft);color:var(--red)}
table{border-collapse:separate;border-spacing:2px;font-variant-numeric:tabular-nums}
.bars{width:100%;max-width:760px;border-spacing:0 3px}
.bars thead th{padding:0 0 4px;font-size:12px;font-weight:500;text-align:right;color:var(--faint)}
.bars thead th:nth-child(2){text-align:left}
.bars .rank{width:34px;padding-right:12px;text-align:right;font-size:12.5px;color:var(--faint)}
.bars tbody th{padding-right:14px;text-align:left;font-weight:500;white-space:nowrap}
.bars code{font-size:13.5px}
.bars .track{width:60%}
.cells{border-spacing:0 2px;margin:6px 0 14px;font-size:13.5px}
.cells th,.cells td{padding:2px 22px 2px 0;text-align:left;vertical-align:baseline;white-space:pre-wrap}
.cells th{font-size:12px;font-weight:500;color:var(--faint)}.cells .num{text-align:right;white-space:nowrap}
.bar{display:block;min-width:2px;height:15px;border-radius:3px;background:var(--teal)}
.answer .bar{background:var(--blue)}.wrong .bar{background:var(--red)}
.answer code{color:var(--blue);font-weight:700}.wrong code{color:var(--red);font-weight:700}
.tag{margin-left:8px;font-size:11.5px;color:var(--faint)}
.gap td,.gap th{padding-top:10px}
.num{padding-left:14px;text-align:right;font-size:13px}
.lens{font-size:11px}
.lens th{padding:2px 4px;font-weight:500;color:var(--soft);white-space:nowrap}
.lens tbody th{position:sticky;left:0;text-align:right;background:var(--card);color:var(--faint)}
.lens thead small{display:block;font-size:10px;color:var(--faint)}
.cell{background:var(--l);color:var(--il)}
.lens .cell{min-width:44px;height:25px;padding:0 4px;border-radius:4px;text-align:center;white-space:nowrap;cursor:default}
.scroll+.gb-map{display:block;margin:12px 0 0 66px}
.lens .hit{outline:2px solid var(--blue);outline-offset:-2px;font-weight:700}
.lens .cell:hover{outline:2px solid var(--ink);outline-offset:-2px}
#attention .tok{padding:4px 2px;background:var(--l);color:var(--il);cursor:default;transition:background-color .12s}
#attention .tok.from{outline:2px solid var(--violet);outline-offset:-1px}
#attention .tok.later{opacity:.38}
#attention .tok:focus-visible{outline:2px solid var(--ink)}
.note{margin:2px 0 22px;font-size:13px;color:var(--faint)}
.side{display:flex;flex-wrap:wrap;gap:28px 44px;align-items:flex-start}
.side>*{min-width:0}
.side h3{margin:0 0 10px;font-size:13px;font-weight:600;color:var(--soft)}
.gb-map .row{stroke:var(--violet);stroke-width:1}
.heads{display:inline-grid;gap:5px;align-items:center}
.heads .layer{padding-right:4px;font-size:11px;color:var(--faint);text-align:right}
.heads button{width:var(--thumb,44px);height:var(--thumb,44px);padding:2px;border:1px solid var(--line);border-radius:6px;background:none;cursor:pointer;line-height:0}
.heads button:hover{border-color:var(--soft)}
.heads button[aria-pressed=true]{border-color:var(--violet);box-shadow:0 0 0 1.5px var(--violet)}
.heads canvas{width:100%;height:100%;border-radius:3px;image-rendering:pixelated}
.source{margin:20px 0 0;padding-top:12px;border-top:1px solid var(--line);font-size:12px;line-height:1.55;color:var(--faint);overflow-wrap:anywhere}
.source span{margin-right:18px}
.source b{margin-right:5px;font-weight:500;color:var(--soft)}
footer{margin-top:34px;font-size:13px;color:var(--faint)}
footer code{display:block;margin-top:6px;padding:12px 16px;border:1px solid var(--line);border-radius:10px;background:var(--card);font-size:12.5px;color:var(--soft);white-space:pre-wrap;overflow-wrap:anywhere}
.tip{position:fixed;z-index:9;max-width:340px;padding:8px 11px;border-radius:8px;background:#1b1d24;color:#f4f5f8;box-shadow:0 6px 24px #0004;font:12px/1.5 "JetBrains Mono","SFMono-Regular",Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre-wrap;pointer-events:none}
@media (prefers-color-scheme:dark){
.cell,#attention .tok{background:var(--d);color:var(--id)}
.tip{background:#eceef4;color:#14161c}}
@media (max-width:720px){main{padding:28px 16px 48px}section{padding:20px 16px 16px}h1{font-size:26px}.pair{grid-template-columns:1fr;gap:4px}}
@media print{section{break-inside:avoid}.tip{display:none}}
${svgStyle}`;
