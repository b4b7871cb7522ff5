/** The page of benchmarks: what this browser's GPU can do at best, and what Glassbox gets out of it. */

import { type Report, type Table, tableOf } from '../../scripts/bench/report.js';
import type { Entry } from '../../scripts/bench/section.js';
import { sections } from '../../scripts/bench/sections.js';
import { save } from '../app/files.js';
import { fill, h } from '../ui/dom.js';
import type { BenchNews, BenchOrder } from './protocol.js';
import { SIZES } from './sizes.js';

/** Measured without being asked for more. */
const FIRST = ['ceilings', 'load', 'forward', 'decode', 'sweep'];
const ROUNDS = 3;
/** Libraries that the page can load and have do the same work. */
const PEERS = [
  { id: 'jax', about: 'jax-js' },
  { id: 'tfjs', about: 'TensorFlow.js' },
];

function start(root: HTMLElement): void {
  let worker: Worker | null = null;
  let entries: Entry[] = [];
  let adapter = '';
  let peers: Report['peers'] = [];
  const problems = new Map<string, string>();
  const boxes = sections.map((section) => ({
    section,
    box: h('input', { type: 'checkbox', id: `only-${section.id}`, checked: FIRST.includes(section.id) }),
    card: h('section', { class: 'card', id: section.id, hidden: true }),
  }));
  const size = h(
    'select',
    { id: 'size', 'aria-label': 'Model' },
    Object.entries(SIZES).map(([value, { about }]) => h('option', { value }, about)),
  );
  const rivals = PEERS.map(({ id, about }) => ({
    id,
    about,
    box: h('input', { type: 'checkbox', id: `peer-${id}` }),
  }));
  const quick = h('input', { type: 'checkbox', id: 'quick', checked: true });
  const run = h('button', { type: 'button', class: 'fix', id: 'run', onclick: () => begin() }, 'Measure');
  const stop = h(
    'button',
    { type: 'button', class: 'quiet', id: 'stop', hidden: true, onclick: () => end('stopped') },
    'Stop',
  );
  const json = h(
    'button',
    { type: 'button', class: 'quiet', id: 'json', hidden: true, onclick: () => download() },
    'JSON',
  );
  const text = h('p', { class: 'run-text', id: 'status', 'aria-live': 'polite' });
  fill(
    root,
    h(
      'main',
      { class: 'bench' },
      h('h1', {}, 'Benchmarks'),
      h(
        'p',
        { class: 'about' },
        'A model with random weights on this browser’s GPU: elapsed times, medians of interleaved rounds, beside what the adapter can do at best, measured in the same run. Other pages that use the GPU disturb it. ',
        h('a', { href: './index.html' }, 'To the workbench'),
      ),
      h(
        'section',
        { class: 'panel' },
        h(
          'div',
          { class: 'choices' },
          boxes.map(({ section, box }) => labelled(box, section.title)),
        ),
        h(
          'div',
          { class: 'controls' },
          size,
          labelled(quick, 'Small samples, a few minutes'),
          h('span', { class: 'check' }, 'Compare with'),
          rivals.map(({ box, about }) => labelled(box, about)),
          run,
          stop,
          json,
          text,
        ),
      ),
      boxes.map(({ card }) => card),
    ),
  );

  function begin(): void {
    const only = boxes.filter(({ box }) => box.checked).map(({ section }) => section.id);
    if (!only.length) {
      fill(text, 'Choose something to measure.');
      return;
    }
    worker?.terminate();
    entries = [];
    peers = [];
    problems.clear();
    for (const { card } of boxes) card.hidden = true;
    worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'glassbox-bench' });
    worker.onmessage = ({ data }: MessageEvent<BenchNews>) => hear(data);
    worker.onerror = (e) => end(`the worker stopped: ${e.message || 'it could not be loaded'}`);
    const order: BenchOrder = {
      ...{ only, size: size.value, rounds: ROUNDS, quick: quick.checked },
      peers: rivals.filter(({ box }) => box.checked).map(({ id }) => id),
    };
    worker.postMessage(order);
    busy(true);
    fill(text, 'opening the GPU');
  }

  function hear(news: BenchNews): void {
    if (news.kind === 'adapter') {
      adapter = news.text;
      peers = news.peers;
    }
    if (news.kind === 'section') {
      fill(text, `measuring: ${sections.find((s) => s.id === news.id)!.title}`);
      show(news.id);
    }
    if (news.kind === 'entry') {
      entries.push(news.entry);
      show(news.entry.section);
    }
    if (news.kind === 'problem') {
      problems.set(news.id, news.message);
      if (news.id) show(news.id);
      else fill(text, news.message);
    }
    if (news.kind === 'done')
      end(entries.length ? `done, on ${adapter}` : (problems.get('') ?? 'nothing was measured'));
  }

  function end(why: string): void {
    worker?.terminate();
    worker = null;
    busy(false);
    fill(text, why);
  }

  function busy(on: boolean): void {
    run.hidden = on;
    stop.hidden = !on;
    json.hidden = on || !entries.length;
  }

  function show(id: string): void {
    const { section, card } = boxes.find((b) => b.section.id === id)!;
    const table = tableOf(section, { peers, entries });
    const problem = problems.get(id);
    card.hidden = false;
    fill(
      card,
      h('header', {}, h('h2', {}, table.title), h('p', { class: 'about' }, table.about)),
      problem !== undefined && h('p', { class: 'problem', role: 'alert' }, problem),
      table.rows.length > 0 && h('div', { class: 'scroll' }, tableElement(table)),
      table.notes.map((note) => h('p', { class: 'about' }, note)),
    );
  }

  function download(): void {
    const report: Report = {
      ...{ adapter, date: new Date().toISOString(), platform: navigator.userAgent },
      ...{ clock: 'wall', rounds: ROUNDS, peers, entries },
    };
    save('glassbox-bench.json', `${JSON.stringify(report, null, 1)}\n`, 'application/json');
  }
}

const labelled = (box: HTMLInputElement, text: string): HTMLElement =>
  h('label', { class: 'check', for: box.id }, box, h('span', {}, text));

function tableElement({ head, rows }: Table): HTMLElement {
  return h(
    'table',
    { class: 'figures' },
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        head.map((name) => h('th', { scope: 'col' }, name)),
      ),
    ),
    h(
      'tbody',
      {},
      rows.map(([name, ...cells]) =>
        h(
          'tr',
          {},
          h('th', { scope: 'row' }, name),
          cells.map((text) => h('td', { class: 'num' }, text)),
        ),
      ),
    ),
  );
}

const root = document.getElementById('app')!;
if (matchMedia('(prefers-color-scheme: dark)').matches) document.documentElement.dataset.theme = 'dark';
try {
  const kept = localStorage.getItem('theme');
  if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept;
} catch {} // a page may be opened where nothing is kept
if ('gpu' in navigator) start(root);
else
  fill(
    root,
    h(
      'p',
      { class: 'starting' },
      'This browser has no WebGPU: ',
      h('a', { href: './index.html' }, 'which ones have it'),
    ),
  );
