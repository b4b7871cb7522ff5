/** The families of models: a new one is a file beside this one, and a line here. */

/** What `Config.family` may be. */
export const familyNames: readonly string[] = ['gpt2'];
