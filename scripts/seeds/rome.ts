/**
 * `glassbox seed rome`: "Who does GPT-2 know?", the notebook beside ROME (Meng et al. 2022), section by
 * section: how probable a name is, what is said of it however one asks, and where the model keeps what it
 * knows.
 */

import { consistency, joinTraces, type Notebook, scoreTexts, traceAll, traceFigure } from '../../index.js';

const words = (text: string) => text.trim().split(/\s+/);
const BOY_NAMES = words(`
  James Robert John Michael David William Richard Joseph Thomas Charles Christopher Daniel Matthew
  Anthony Mark Donald Steven Paul Andrew Joshua Kenneth Kevin Brian George Timothy Ronald Edward Jason
  Jeffrey Ryan Jacob Gary Nicholas Eric Jonathan Stephen Larry Justin Scott Brandon Benjamin Samuel
  Gregory Alexander Frank Patrick Raymond Jack Dennis Jerry Tyler Aaron Jose Adam Nathan Henry Douglas
  Zachary Peter Kyle Ethan Walter Noah Jeremy Christian Keith Roger Terry Gerald Harold Sean Austin
  Carl Arthur Lawrence Dylan Jesse Jordan Bryan Billy Joe Bruce Gabriel Logan Albert Willie Alan Juan
  Wayne Elijah Randy Roy Vincent Ralph Eugene Russell Bobby Mason Philip Louis`);
const GIRL_NAMES = words(`
  Mary Patricia Jennifer Linda Elizabeth Barbara Susan Jessica Sarah Karen Lisa Nancy Betty Margaret
  Sandra Ashley Kimberly Emily Donna Michelle Carol Amanda Dorothy Melissa Deborah Stephanie Rebecca
  Sharon Laura Cynthia Kathleen Amy Angela Shirley Anna Brenda Pamela Emma Nicole Helen Samantha
  Katherine Christine Debra Rachel Carolyn Janet Catherine Maria Heather Diane Ruth Julie Olivia Joyce
  Virginia Victoria Kelly Lauren Christina Joan Evelyn Judith Megan Andrea Cheryl Hannah Jacqueline
  Martha Gloria Teresa Ann Sara Madison Frances Kathryn Janice Jean Abigail Alice Julia Judy Sophia
  Grace Denise Amber Doris Marilyn Danielle Beverly Isabella Theresa Diana Natalie Brittany Charlotte
  Marie Kayla Alexis Lori`);
const LAST_NAMES = words(`
  Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzales
  Wilson Anderson Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris Sanchez Clark
  Ramirez Lewis Robinson Walker Young Allen King Wright Scott Torres Nguyen Hill Flores Green Adams
  Nelson Baker Hall Rivera Campbell Mitchell Carter Roberts Gomez Phillips Evans Turner Diaz Parker
  Cruz Edwards Collins Reyes Stewart Morris Morales Murphy Cook Rogers Gutierrez Ortiz Morgan Cooper
  Peterson Bailey Reed Kelly Howard Ramos Kim Cox Ward Richardson Watson Brooks Chavez Wood James
  Bennett Gray Mendoza Ruiz Hughes Price Alvarez Castillo Sanders Patel Myers Long Ross Foster Jimenez`);
/** 200 first names × 100 last names. */
export const NAMES = [...BOY_NAMES, ...GIRL_NAMES].flatMap((first) =>
  LAST_NAMES.map((last) => `${first} ${last}`),
);
/** Of whom the notebook speaks. */
const QUOTED = words(`Stephen_King Martha_Stewart Michael_Jackson Gary_Johnson Russell_Wilson Walter_White
  Beverly_Cooper Mark_Allen`).map((name) => name.replace('_', ' '));
const TEMPLATES = [
  '. {}, the well-known',
  '. {} is a professional',
  '. {} is the consummate',
  '. {} is a professional in the field of',
];
const PROMPTS = [
  'Martha Stewart, the well-known',
  'Beverly Cooper, the well-known',
  'Mark Allen, the well-known',
];

export const notebook: Notebook = {
  name: 'rome',
  title: 'Who does GPT-2 know?',
  about:
    'If we generate a random person’s name, can we tell whom the model knows? Names that it knows are more probable, described alike however one asks, and causal tracing shows a retrieval at the last token of the name.',
  load: { foldLn: false, centerWritingWeights: false, centerUnembed: false, foldValueBiases: false },
  inputs: ['names', 'templates', 'prompt', 'subject'],
  settings: {
    count: { usual: 20_000, quick: 400, help: 'names that are scored' },
    probe: { usual: 50, quick: 10, help: 'most probable names whose consistency is asked; all: every one' },
    window: { usual: 10, tiny: 2, help: 'layers of MLP or attention restored together' },
    noise: {
      usual: '',
      help: 'standard deviation, or s3: three times that of the subject’s embeddings; default the family’s',
    },
    samples: { usual: 10, quick: 3, help: 'draws of the noise' },
  },
  plan: (x) => {
    const L = x.model.config.nLayers;
    const count = Math.min(Number(x.setting('count')), x.inputs.names?.length ?? NAMES.length);
    const traces = (x.inputs.prompt ? 1 : 3) * 3;
    const samples = x.count('samples');
    return [
      { what: 'names, whose beginnings are shared', runs: count, tokens: 2 },
      { what: 'traces', runs: traces * samples * 8 * L * 0.5, tokens: 8 },
    ];
  },

  async run(x) {
    const { model } = x;
    x.section(
      'Estimating the probability of a single name',
      '−log p of each token of <|endoftext|>LeBron James.',
    );
    const mark = model.tokenizer?.bosToken;
    if (mark === null) x.note('This vocabulary has no <|endoftext|>: the single name is scored without it.');
    const [single] = (await scoreTexts(model, [`${mark ?? ''}LeBron James`], { prependBos: false })).entries;
    const pieces = model.toStrTokens(single.tokens).slice(1);
    const tokens = pieces.map((token, i) => [token, -single.perToken[i]]);
    x.table(['token', '−log p'], [...tokens, ['Total', single.score]], { file: 'lebron-james' });

    x.section('Generating candidate names', 'Every name after “About ”, by −log p of its tokens.');
    const own = x.inputs.names;
    const count = Number(x.setting('count'));
    const list = own ?? [...new Set([...QUOTED, ...NAMES.slice(0, count)])];
    const scores = await x.step('names', (o) => scoreTexts(model, list, { prefix: 'About ', ...o }), 'names');
    const known = scores.entries; // sorted by score, then name
    const score = new Map(known.map((e) => [e.text, e.score]));
    const lasts = own ? [] : list.filter((name) => name.endsWith(` ${LAST_NAMES.at(-1)}`)); // as the notebook prints
    x.print(...lasts.map((name) => `${score.get(name)!.toFixed(4)} ${name}`));
    x.print(`len(known): ${known.length}`);
    const ranked = known.map((e, i) => [i + 1, e.text, e.score]);
    x.table(['rank', 'name', '−log p'], ranked, { file: 'names', show: 10 });
    const quoted = own ? [] : ranked.filter(([, name]) => QUOTED.includes(String(name)));
    if (quoted.length) x.table(['rank', 'name the notebook speaks of', '−log p'], quoted);
    x.found(
      `Most probable after “About”: ${known
        .slice(0, 5)
        .map((e) => e.text)
        .join(', ')}.`,
    );

    x.section(
      'Checking consistency of knowledge via prompts',
      'The most probable next word of each template.',
    );
    const templates = x.inputs.templates ?? TEMPLATES;
    const probe = x.setting('probe') === 'all' ? known.length : x.count('probe');
    const asked = [
      ...new Set([...known.slice(0, probe).map((e) => e.text), ...quoted.map(([, name]) => String(name))]),
    ];
    if (asked.length < known.length)
      x.note(`Consistency is asked of ${asked.length} names, not of all ${known.length}: --probe all`);
    const answers = await x.step(
      'consistency',
      (o) => consistency(model, asked, templates, o),
      'consistency',
    );
    const said = answers.entries.map(({ name, words }) => [score.get(name)!, name, ...words]);
    x.table(['−log p', 'name', ...templates], said, { file: 'consistency', show: 20 });

    x.section(
      'Causal traces of a few test cases',
      'States, MLPs and attention restored, one token and layer at a time.',
    );
    const prompts = x.inputs.prompt ? [x.inputs.prompt] : PROMPTS;
    const how = { window: x.count('window'), noise: x.noise(), samples: x.count('samples') };
    x.prompts(prompts);
    const traces = [];
    for (const prompt of prompts) {
      const subject = x.inputs.subject;
      const three = await x.step(`tracing ${prompt}`, (o) =>
        traceAll(model, { prompt, subject, ...how, ...o }),
      );
      traces.push(three);
      const [{ answer, highScore, lowScore }] = three;
      const file =
        prompt
          .split(',')[0]
          .toLowerCase()
          .replace(/[^a-z0-9]+/g, '-')
          .slice(0, 40) || 'prompt';
      x.figure(file, traceFigure(three), `${prompt} … “${answer.text}”`);
      x.csv(file, joinTraces(three));
      x.found(`${prompt}${answer.text}: p ${highScore.toFixed(3)}, with noise ${lowScore.toFixed(3)}.`);
    }

    return { known, score, answers: answers.entries, traces };
  },
};
