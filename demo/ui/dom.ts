/** Elements without a framework. */

type Child = Node | string | null | false;
type Attributes = Readonly<Record<string, string | number | boolean | null | ((event: never) => void)>>;

/** An element: attributes, `onclick` and the like as listeners, children. `false` and null are left out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Child | readonly Child[])[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value as EventListener);
    else if (name === 'value' && 'value' in element) element.value = String(value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat()) if (child !== null && child !== false) element.append(child);
  return element;
}

/** Puts children in place of those that are there. */
export function fill(element: Element, ...children: readonly (Child | readonly Child[])[]): void {
  element.replaceChildren(...children.flat().filter((c): c is Node | string => c !== null && c !== false));
}

/** A few buttons of which one is pressed. */
export function segmented<T extends string>(
  label: string,
  choices: readonly (readonly [value: T, text: string, title?: string])[],
  choose: (value: T) => void,
): { readonly element: HTMLElement; show(value: T): void } {
  const buttons = choices.map(([value, text, title]) =>
    h(
      'button',
      { type: 'button', 'data-value': value, title: title ?? null, onclick: () => choose(value) },
      text,
    ),
  );
  const element = h('div', { class: 'segmented', role: 'group', 'aria-label': label }, buttons);
  return {
    element,
    show(value) {
      for (const b of buttons) b.setAttribute('aria-pressed', String(b.dataset.value === value));
    },
  };
}
