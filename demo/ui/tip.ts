/** The tooltip: one for the page, beside the cursor or the focused element. */

import { h } from './dom.js';

const element = h('div', { class: 'tip', role: 'presentation', hidden: true });

/** Lines of a tooltip: a heading, then pairs. */
export interface Tip {
  readonly title: string;
  readonly lines: readonly (readonly [name: string, value: string])[];
}

/** Shows a tooltip beside an element. */
export function showTip(at: Element, { title, lines }: Tip): void {
  if (!element.isConnected) document.body.append(element);
  element.replaceChildren(
    h('strong', {}, title),
    h(
      'dl',
      {},
      lines.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]),
    ),
  );
  element.hidden = false;
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => putBeside(at)); // measuring is dear while cells change
}

let frame = 0;

function putBeside(at: Element): void {
  const box = at.getBoundingClientRect();
  const own = element.getBoundingClientRect();
  const below = box.bottom + 8 + own.height < innerHeight;
  const top = below ? box.bottom + 8 : Math.max(4, box.top - own.height - 8);
  const left = Math.min(innerWidth - own.width - 8, Math.max(8, box.left + box.width / 2 - own.width / 2));
  element.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
}

/** Hides it. */
export function hideTip(): void {
  cancelAnimationFrame(frame);
  element.hidden = true;
}
