/** Facts, their subjects, and what each token is to the subject. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readFacts } from '../../interp/tracing/facts.js';
import { guessSubject, tokenRoleNames, tokenRoles } from '../../interp/tracing/subject.js';
import { throws } from '../helpers.js';

const subjects: [prompt: string, subject: string][] = [
  ['Martha Stewart, the well-known', 'Martha Stewart'],
  ['Megan Rapinoe plays the sport of', 'Megan Rapinoe'],
  ['The Space Needle is in downtown', 'The Space Needle'],
  ["Germaine Greer's domain of work is", "Germaine Greer's"],
  ['What does Tim Cook sell?', 'Tim Cook'],
  ['Whatever Works was filmed in', 'Whatever Works'],
  ['Which country is Paris in?', 'Paris'],
  ['Where is the Eiffel Tower?', 'Eiffel Tower'],
  ['Who Framed Roger Rabbit', 'Framed Roger Rabbit'],
  ['iPhone, made by', 'Phone,'],
  ['Zillow, headquartered in', 'Zillow,'],
  ['. Beverly Cooper, the well-known', 'Beverly Cooper'],
  ['A B-52 can', 'A B'],
];
for (const [prompt, subject] of subjects)
  test(`the subject of "${prompt}" is "${subject}"`, () => assert.is(guessSubject(prompt), subject));

test('a prompt without a capital has no subject to guess', () =>
  throws(() => guessSubject('the capital of france'), /no capitalised word .* say what the subject is/));

test('every token from the subject on has a role, some have two', () => {
  assert.equal(tokenRoles([1, 5], 9), [[1], [2, 3], [4], [5], [6, 7], [8]]);
  assert.equal(tokenRoles([0, 1], 2), [[0], [], [0], [1], [], [1]]);
  assert.equal(tokenRoles([0, 2], 4), [[0], [], [1], [2], [], [3]]);
  assert.is(tokenRoleNames.length, 6);
});

test('a subject at the end of the prompt has no subsequent token', () =>
  assert.equal(tokenRoles([1, 3], 3), [[1], [], [2], [], [], [2]]));

test('a subject is a range within the prompt', () => {
  for (const range of [
    [2, 2],
    [-1, 2],
    [1, 5],
  ] as [number, number][])
    throws(() => tokenRoles(range, 4), /a range within the 4 tokens/);
});

const row = {
  known_id: 0,
  subject: 'Vinson Massif',
  attribute: 'Antarctica',
  template: '{} is located in the continent',
  prediction: ' of Antarctica. It is the largest of the three',
  prompt: 'Vinson Massif is located in the continent of',
  relation_id: 'P30',
};

test("facts are read from ROME's file", () => {
  const { prompt, subject, attribute } = row;
  const [full, short] = readFacts(JSON.stringify([row, { prompt, subject, attribute }]));
  assert.is(full.knownId, 0);
  assert.is(full.relationId, 'P30');
  assert.is(full.template, row.template);
  assert.equal(short, { prompt, subject, attribute });
});

const malformed: [what: string, json: string, message: RegExp][] = [
  ['no JSON', '[{', /^facts: not JSON/],
  ['no list', '{"prompt":"a"}', /a list of \{ prompt, subject, attribute \} is needed/],
  ['no object', '[null]', /row 0: null is no object/],
  [
    'no attribute',
    JSON.stringify([row, { ...row, attribute: undefined }]),
    /row 1: "attribute" must be a string/,
  ],
  ['an empty prompt', JSON.stringify([{ ...row, prompt: '' }]), /row 0: "prompt" must be a string, not ""/],
  [
    'a foreign subject',
    JSON.stringify([{ ...row, subject: 'Everest' }]),
    /row 0: the subject "Everest" does not occur/,
  ],
  [
    'an id that is text',
    JSON.stringify([{ ...row, known_id: '7' }]),
    /row 0: "known_id" must be a number, not "7"/,
  ],
];
for (const [what, json, message] of malformed)
  test(`facts with ${what}: the error says which row and why`, () => throws(() => readFacts(json), message));

test('messages stay short, however long what they show', async () => {
  const long = 'x'.repeat(5000);
  const message = (f: () => unknown) => {
    try {
      f();
    } catch (e) {
      return (e as Error).message;
    }
    return '';
  };
  const got = message(() => guessSubject(long));
  assert.match(got, /^no capitalised word in "xxx.*: say what the subject is/);
  assert.ok(got.length < 300, `${got.length} characters`);
});

test.run();
