/** What may be wider than its place: it scrolls sideways, and says so while something is out of sight. */

import { h } from './dom.js';

/** Puts something into a place that scrolls; a line below says that there is more. */
export function wide(...children: readonly Node[]): HTMLElement {
  const scroll = h('div', { class: 'scroll' }, children);
  const note = h('p', { class: 'wide-note', hidden: true });
  const element = h('div', { class: 'wide-box' }, scroll, note);
  const look = () => {
    const left = scroll.scrollLeft > 2;
    const right = scroll.scrollLeft + scroll.clientWidth < scroll.scrollWidth - 2;
    element.classList.toggle('more-left', left);
    element.classList.toggle('more-right', right);
    note.hidden = !left && !right;
    note.textContent = right
      ? 'Wider than the page: scroll sideways for the rest →'
      : '← Scroll back for the beginning';
  };
  scroll.addEventListener('scroll', look, { passive: true });
  const observer = new ResizeObserver(look);
  observer.observe(scroll);
  for (const child of scroll.children) observer.observe(child);
  return element;
}
