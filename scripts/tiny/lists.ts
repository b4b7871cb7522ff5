/**
 * The world of the tiny model: everybody and everything its corpus speaks of. Facts are facts of the real
 * world.
 *
 * A `|` inside a word marks a place which the tokenizer must not merge across: such a word stays two tokens,
 * as rarer words do in GPT-2. `Col|osseum` has as many tokens as `Eiffel Tower`, so that the two prompts can
 * be patched into each other position by position; `Need|le` gives "The Space Needle" the four tokens which
 * it has in GPT-2.
 */

const words = (text: string): string[] => text.trim().split(/\s+/);

/**
 * Frequent male first names of the United States (the list of ROME's "Who does GPT-2 know?"), and a few more.
 */
export const BOYS: readonly string[] = words(`
James Robert John Michael David William Richard Joseph Thomas Charles Christopher Daniel Matthew Anthony Mark Donald
Steven Paul Andrew Joshua Kenneth Kevin Brian George Timothy Ronald Edward Jason Jeffrey Ryan Jacob Gary Nicholas Eric
Jonathan Stephen Larry Justin Scott Brandon Benjamin Samuel Gregory Alexander Frank Patrick Raymond Jack Dennis Jerry
Tyler Aaron Jose Adam Nathan Henry Douglas Zachary Peter Kyle Ethan Walter Noah Jeremy Christian Keith Roger Terry
Gerald Harold Sean Austin Carl Arthur Lawrence Dylan Jesse Jordan Bryan Billy Joe Bruce Gabriel Logan Albert Willie
Alan Juan Wayne Elijah Randy Roy Vincent Ralph Eugene Russell Bobby Mason Philip Louis Tom Dan Sid Martin`);

/** Frequent female first names (the same source), and a few more. */
export const GIRLS: readonly string[] = words(`
Mary Patricia Jennifer Linda Elizabeth Barbara Susan Jessica Sarah Karen Lisa Nancy Betty Margaret Sandra Ashley
Kimberly Emily Donna Michelle Carol Amanda Dorothy Melissa Deborah Stephanie Rebecca Sharon Laura Cynthia Kathleen Amy
Angela Shirley Anna Brenda Pamela Emma Nicole Helen Samantha Katherine Christine Debra Rachel Carolyn Janet Catherine
Maria Heather Diane Ruth Julie Olivia Joyce Virginia Victoria Kelly Lauren Christina Joan Evelyn Judith Megan Andrea
Cheryl Hannah Jacqueline Martha Gloria Teresa Ann Sara Madison Frances Kathryn Janice Jean Abigail Alice Julia Judy
Sophia Grace Denise Amber Doris Marilyn Danielle Beverly Isabella Theresa Diana Natalie Brittany Charlotte Marie Kayla
Alexis Lori Jane Joy`);

/** Every first name: the names of the indirect-object sentences. */
export const NAMES: readonly string[] = [...BOYS, ...GIRLS];

/** Frequent surnames (the same source). */
export const SURNAMES: readonly string[] = words(`
Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzales Wilson Anderson
Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris Sanchez Clark Ramirez Lewis Robinson Walker Young
Allen King Wright Scott Torres Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera Campbell Mitchell Carter Roberts
Gomez Phillips Evans Turner Diaz Parker Cruz Edwards Collins Reyes Stewart Morris Morales Murphy Cook Rogers Gutierrez
Ortiz Morgan Cooper Peterson Bailey Reed Kelly Howard Ramos Kim Cox Ward Richardson Watson Brooks Chavez Wood James
Bennett Gray Mendoza Ruiz Hughes Price Alvarez Castillo Sanders Patel Myers Long Ross Foster Jimenez`);

/** Where people go, with the article: "went to the shops". */
export const PLACES: readonly string[] = words(`
shops park school store market garden beach library museum station office restaurant hospital church theatre lake
house river kitchen farm zoo harbour village forest bridge bank hotel airport cinema square`);

/** What people hand over. */
export const OBJECTS: readonly string[] = words(`
bag ball apple drink book ring kiss letter flower pen cup key hat coat map ticket camera phone box cake basketball
computer bone necklace snack basket bottle guitar umbrella egg orange toy gift lamp watch photo`);

/** What a good person can be: "{name} is a really great friend." */
export const KINDS: readonly string[] = words(`
friend cook athlete person teacher neighbour doctor student dancer player nurse driver swimmer guest`);

/** Famous sights and the city in which they stand (all cities of one word). */
export const SIGHTS: readonly (readonly [sight: string, city: string])[] = [
  ['Space Need|le', 'Seattle'],
  ['Eiffel Tower', 'Paris'],
  ['Louvre', 'Paris'],
  ['Col|osseum', 'Rome'],
  ['Trevi Fountain', 'Rome'],
  ['Pantheon', 'Rome'],
  ['Tower Bridge', 'London'],
  ['British Museum', 'London'],
  ['Buckingham Palace', 'London'],
  ['Brandenburg Gate', 'Berlin'],
  ['Reichstag', 'Berlin'],
  ['Red Square', 'Moscow'],
  ['Kremlin', 'Moscow'],
  ['Parthenon', 'Athens'],
  ['Acropolis', 'Athens'],
  ['Prado', 'Madrid'],
  ['Sagrada Familia', 'Barcelona'],
  ['Little Mermaid', 'Copenhagen'],
  ['Tivoli', 'Copenhagen'],
  ['Hofburg', 'Vienna'],
  ['Charles Bridge', 'Prague'],
  ['Blue Mosque', 'Istanbul'],
  ['Grand Bazaar', 'Istanbul'],
  ['Opera House', 'Sydney'],
  ['Bondi Beach', 'Sydney'],
  ['White House', 'Washington'],
  ['Lincoln Memorial', 'Washington'],
  ['Willis Tower', 'Chicago'],
  ['Liberty Bell', 'Philadelphia'],
  ['Fenway Park', 'Boston'],
  ['Taj Mahal', 'Agra'],
  ['Burj Khalifa', 'Dubai'],
  ['Forbidden City', 'Beijing'],
  ['Skytree', 'Tokyo'],
  ['Rijksmuseum', 'Amsterdam'],
  ['Atomium', 'Brussels'],
  ['Manneken Pis', 'Brussels'],
  ['Uffizi', 'Florence'],
  ['Grand Canal', 'Venice'],
  ['Leaning Tower', 'Pisa'],
  ['Vasa Museum', 'Stockholm'],
  ['Chain Bridge', 'Budapest'],
  ['Belem Tower', 'Lisbon'],
  ['Wawel Castle', 'Krakow'],
  ['Trinity College', 'Dublin'],
  ['Royal Mile', 'Edinburgh'],
  ['Egyptian Museum', 'Cairo'],
  ['Alhambra', 'Granada'],
];

/** Countries, their capitals (one word each) and what is spoken there most. */
export const COUNTRIES: readonly (readonly [country: string, capital: string, language: string])[] = [
  ['France', 'Paris', 'French'],
  ['Italy', 'Rome', 'Italian'],
  ['Germany', 'Berlin', 'German'],
  ['Spain', 'Madrid', 'Spanish'],
  ['Portugal', 'Lisbon', 'Portuguese'],
  ['England', 'London', 'English'],
  ['Ireland', 'Dublin', 'English'],
  ['Scotland', 'Edinburgh', 'English'],
  ['Austria', 'Vienna', 'German'],
  ['Greece', 'Athens', 'Greek'],
  ['Russia', 'Moscow', 'Russian'],
  ['Poland', 'Warsaw', 'Polish'],
  ['Hungary', 'Budapest', 'Hungarian'],
  ['Denmark', 'Copenhagen', 'Danish'],
  ['Sweden', 'Stockholm', 'Swedish'],
  ['Norway', 'Oslo', 'Norwegian'],
  ['Finland', 'Helsinki', 'Finnish'],
  ['Canada', 'Ottawa', 'English'],
  ['Japan', 'Tokyo', 'Japanese'],
  ['China', 'Beijing', 'Chinese'],
  ['Egypt', 'Cairo', 'Arabic'],
  ['Turkey', 'Ankara', 'Turkish'],
  ['Cuba', 'Havana', 'Spanish'],
  ['Peru', 'Lima', 'Spanish'],
  ['Chile', 'Santiago', 'Spanish'],
  ['Kenya', 'Nairobi', 'Swahili'],
  ['Thailand', 'Bangkok', 'Thai'],
  ['Vietnam', 'Hanoi', 'Vietnamese'],
  ['Australia', 'Canberra', 'English'],
  ['Bulgaria', 'Sofia', 'Bulgarian'],
];

/**
 * Known people: the profession, and the field in which they work. The first fifteen are of ROME's grid of
 * names.
 */
export const PEOPLE: readonly (readonly [name: string, sex: 'm' | 'f', profession: string, field: string])[] =
  [
    ['Stephen King', 'm', 'writer', 'literature'],
    ['Martha Stewart', 'f', 'cook', 'cooking'],
    ['Michael Jackson', 'm', 'singer', 'music'],
    ['Gary Johnson', 'm', 'politician', 'politics'],
    ['Russell Wilson', 'm', 'athlete', 'football'],
    ['Walter White', 'm', 'chemist', 'chemistry'],
    ['Jennifer Lopez', 'f', 'singer', 'music'],
    ['Emma Watson', 'f', 'actress', 'film'],
    ['Julia Roberts', 'f', 'actress', 'film'],
    ['Elizabeth Taylor', 'f', 'actress', 'film'],
    ['Bruce Lee', 'm', 'actor', 'film'],
    ['Carl Lewis', 'm', 'athlete', 'athletics'],
    ['Adam Smith', 'm', 'economist', 'economics'],
    ['William Turner', 'm', 'painter', 'painting'],
    ['Peter Jackson', 'm', 'director', 'film'],
    ['Diana Ross', 'f', 'singer', 'music'],
    ['Dorothy Parker', 'f', 'poet', 'poetry'],
    ['Henry Moore', 'm', 'sculptor', 'sculpture'],
    ['Jesse Jackson', 'm', 'politician', 'politics'],
    ['Jerry Lewis', 'm', 'comedian', 'comedy'],
    ['Douglas Adams', 'm', 'writer', 'literature'],
    ['Willie Nelson', 'm', 'singer', 'music'],
    ['Brian Cox', 'm', 'physicist', 'physics'],
    ['William Morris', 'm', 'designer', 'design'],
    ['Serena Williams', 'f', 'athlete', 'tennis'],
    ['Michael Jordan', 'm', 'athlete', 'basketball'],
    ['LeBron James', 'm', 'athlete', 'basketball'],
    ['Albert Einstein', 'm', 'physicist', 'physics'],
    ['Marie Curie', 'f', 'chemist', 'chemistry'],
    ['Charles Darwin', 'm', 'biologist', 'biology'],
    ['Isaac Newton', 'm', 'physicist', 'physics'],
    ['William Shakespeare', 'm', 'poet', 'poetry'],
    ['Jane Austen', 'f', 'writer', 'literature'],
    ['Charles Dickens', 'm', 'writer', 'literature'],
    ['Agatha Christie', 'f', 'writer', 'literature'],
    ['Pablo Picasso', 'm', 'painter', 'painting'],
    ['Claude Monet', 'm', 'painter', 'painting'],
    ['Frida Kahlo', 'f', 'painter', 'painting'],
    ['Emily Dickinson', 'f', 'poet', 'poetry'],
    ['Angela Merkel', 'f', 'politician', 'politics'],
    ['Nelson Mandela', 'm', 'politician', 'politics'],
    ['Charlie Chaplin', 'm', 'comedian', 'comedy'],
    ['Alfred Hitchcock', 'm', 'director', 'film'],
    ['Coco Chanel', 'f', 'designer', 'design'],
    ['Auguste Rodin', 'm', 'sculptor', 'sculpture'],
    ['Clara Schumann', 'f', 'composer', 'music'],
    ['Johann Bach', 'm', 'composer', 'music'],
    ['Julia Child', 'f', 'cook', 'cooking'],
  ];

/** Every profession of `PEOPLE` with its usual field, for the people whom nobody knows. */
export const PROFESSIONS: readonly (readonly [profession: string, field: string])[] = [
  ...new Map(PEOPLE.map(([, , profession, field]) => [profession, field] as const)),
];
