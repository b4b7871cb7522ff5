/**
 * Elements that share one stop of the Tab key, in a row or a list: arrows, Home and End go from one to the
 * next.
 */

/** Makes the arrow keys go through what a selector finds in an element, now and later. */
export function listKeys(element: HTMLElement, selector: string): void {
  const all = () => [...element.querySelectorAll<HTMLElement>(selector)].filter((e) => !e.hidden);
  element.addEventListener('keydown', (event) => {
    const list = all();
    const at = list.indexOf((event.target as HTMLElement).closest<HTMLElement>(selector)!);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = {
      ArrowRight: at + 1,
      ArrowDown: at + 1,
      ArrowLeft: at - 1,
      ArrowUp: at - 1,
      Home: 0,
      End: list.length - 1,
    };
    const next = to[event.key as keyof typeof to];
    if (next === undefined) return;
    event.preventDefault();
    list[(next + list.length) % list.length].focus();
  });
  element.addEventListener('focusin', (event) => {
    const own = (event.target as HTMLElement).closest<HTMLElement>(selector);
    if (own) for (const one of all()) one.tabIndex = one === own ? 0 : -1;
  });
}
