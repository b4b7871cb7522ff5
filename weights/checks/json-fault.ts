/**
 * Says where a text stops being JSON. `JSON.parse` says it in other words in every version of every engine,
 * with pieces of the text as they are.
 */

import { quoted } from './messages.js';
import { shown } from './shown.js';

/** Where JSON text goes wrong: `line 3, column 7: "}" was not expected here`. */
export function whyNotJson(text: string): string {
  if (text.trim() === '') return 'it is empty';
  const at = firstFault(text);
  if (at >= text.length) return 'it ends too early; it is incomplete';
  const before = text.slice(0, at).split('\n');
  const where = `line ${before.length}, column ${before.at(-1)!.length + 1}`;
  return `${where}: ${quoted(text.slice(at, at + 12).split(/\r?\n/)[0] || shown(text[at]), 20)} was not expected there`;
}

const TOKEN =
  /[ \t\r\n]*(?:([{}[\],:])|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])|("))/y;

/** The index at which a text stops being JSON; its length where only the end is missing. */
function firstFault(text: string): number {
  const open: string[] = []; // brackets not closed yet
  let expect = 'value' as 'value' | 'first' | 'key' | 'first key' | 'colon' | 'next';
  let at = 0;
  while (true) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    if (!found) {
      const rest = text.slice(at).search(/[^ \t\r\n]/);
      return rest < 0 ? text.length : at + rest;
    }
    const [whole, mark, , quote] = found;
    const start = at + whole.length - (mark ?? found[2] ?? quote).length;
    at += whole.length;
    if (quote) {
      if (expect === 'colon' || expect === 'next') return start;
      const end = endOfString(text, at);
      if (end < 0) return -end - 1;
      at = end;
      expect = expect === 'key' || expect === 'first key' ? 'colon' : 'next';
    } else if (mark === undefined) {
      if (expect !== 'value' && expect !== 'first') return start;
      expect = 'next';
    } else if (mark === '{' || mark === '[') {
      if (expect !== 'value' && expect !== 'first') return start;
      open.push(mark);
      expect = mark === '{' ? 'first key' : 'first';
    } else if (mark === ':') {
      if (expect !== 'colon') return start;
      expect = 'value';
    } else if (mark === ',') {
      if (expect !== 'next' || !open.length) return start;
      expect = open.at(-1) === '{' ? 'key' : 'value';
    } else {
      const opening = mark === '}' ? '{' : '[';
      const allowed = expect === 'next' || expect === (mark === '}' ? 'first key' : 'first');
      if (!allowed || open.pop() !== opening) return start;
      expect = 'next';
    }
  }
}

/** Index after the closing quote; −1 − the index of the fault where there is one. */
function endOfString(text: string, from: number): number {
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x22) return i + 1;
    if (c < 0x20) return -1 - i;
    if (c !== 0x5c) continue;
    const sequence = /\\(?:["\\/bfnrt]|u[\da-fA-F]{4})/y;
    sequence.lastIndex = i;
    const found = sequence.exec(text);
    if (!found) return /^\\(u[\da-fA-F]{0,3})?$/.test(text.slice(i, i + 6)) ? -1 - text.length : -1 - i;
    i += found[0].length - 1;
  }
  return -1 - text.length;
}
