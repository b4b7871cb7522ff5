/** Texts as a tree: what is run, in which order, and where keys and values lie meanwhile. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { KvStore } from '../../engine/transformer/kv.js';
import {
  batchesOf,
  capacityOf,
  rowInputs,
  runApart,
  shareBeginnings,
  type Trie,
} from '../../hooks/texts/trie.js';
import { rng } from '../helpers.js';

/** Different beginnings of the texts: what must be run at least, and at most. */
const beginnings = (rows: number[][], drop: number) =>
  new Set(
    rows.flatMap((row) => row.slice(0, row.length - drop).map((_, p) => row.slice(0, p + 1).join(' '))),
  );

/** Runs the batches with a store that remembers which beginning lies in which slot. */
function check(trie: Trie, most: { tokens: number; kept: number }): Set<string> {
  const batches = batchesOf(trie, most);
  const capacity = capacityOf(batches);
  const held: string[] = [];
  const ran = new Set<string>();
  let [n, done] = [0, 0];
  const store = capacity ? ({ capacity } as KvStore) : null;
  for (const inputs of rowInputs(trie, batches, store)) {
    const batch = batches[n++];
    const texts = inputs.map((_, i) => trie.rows[trie.order[batch.branches[i].rank]]);
    assert.ok(batch.tokens <= most.tokens || inputs.length === 1);
    assert.is(
      batch.tokens,
      inputs.reduce((sum, { tokens }) => sum + (tokens as number[]).length, 0),
    );
    assert.ok(batch.done >= done);
    done = batch.done;
    // First everything is stored, then everything is read: in one run, all rows of a block are stored at
    // once.
    inputs.forEach(({ tokens, prefix, slots }, i) => {
      (tokens as number[]).forEach((_, t) => {
        const beginning = texts[i].slice(0, (prefix?.length ?? 0) + t + 1).join(' ');
        assert.not(ran.has(beginning));
        ran.add(beginning);
        if (!slots) return;
        assert.ok(slots[t] < capacity);
        if (slots[t]) held[slots[t]] = beginning;
      });
    });
    inputs.forEach(({ prefix }, i) => {
      for (const [p, slot] of prefix?.slots.entries() ?? [])
        assert.is(held[slot], texts[i].slice(0, p + 1).join(' '));
    });
  }
  if (batches.length) assert.is(done, trie.rows.length);
  return ran;
}

test('every beginning is run once, after what it continues, whatever the batches', () => {
  const { int } = rng(4);
  for (let round = 0; round < 60; round++) {
    const words = 1 + int(4);
    const rows = Array.from({ length: 1 + int(30) }, () =>
      Array.from({ length: 1 + int(8) }, () => int(words)),
    );
    for (const leaves of [false, true]) {
      const trie = shareBeginnings(rows, { leaves });
      const expected = beginnings(rows, leaves ? 0 : 1);
      assert.is(trie.nodes, expected.size);
      for (const most of [
        { tokens: 5, kept: 2 },
        { tokens: 12, kept: 12 },
        { tokens: 1000, kept: 1000 },
      ])
        assert.equal(check(trie, most), expected);
    }
  }
});

test('texts that share nothing store nothing', () => {
  const trie = shareBeginnings(
    [
      [1, 2, 3],
      [2, 3, 4],
      [3, 1],
    ],
    { leaves: false },
  );
  assert.is(capacityOf(batchesOf(trie, { tokens: 100, kept: 100 })), 0);
  assert.is(trie.nodes, 5);
});

test('slots are used again: a long list needs no more than its longest path and one batch', () => {
  const rows = Array.from({ length: 4000 }, (_, i) => [
    Math.floor(i / 40),
    Math.floor(i / 2) % 20,
    i % 2,
    7,
    7,
  ]);
  const trie = shareBeginnings(rows, { leaves: false });
  const batches = batchesOf(trie, { tokens: 50, kept: 50 });
  assert.ok(batches.length > 100);
  assert.ok(capacityOf(batches) <= 1 + 4 + 50);
});

test('apart, every text is run whole and in its place', () => {
  const rows = [[3, 1], [3], [3, 1]];
  const trie = runApart(rows);
  assert.equal(
    [...rowInputs(trie, batchesOf(trie, { tokens: 4, kept: 0 }), null)],
    [[{ tokens: [3, 1] }, { tokens: [3] }], [{ tokens: [3, 1] }]],
  );
});

test.run();
