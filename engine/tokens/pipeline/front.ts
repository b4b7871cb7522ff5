/** What a tokenizer puts in front of a text by itself. */

/** The text of the special token that a `post_processor` of tokenizer.json puts in front; null: none. */
export function tokenInFront(json: unknown): string | null {
  if (typeof json !== 'object' || json === null) return null;
  const { processors, single, cls } = json as Record<string, unknown>;
  for (const one of Array.isArray(processors) ? processors : []) {
    const found = tokenInFront(one);
    if (found !== null) return found;
  }
  const [first] = Array.isArray(single) ? single : []; // TemplateProcessing
  const [text] = Array.isArray(cls) ? cls : []; // RobertaProcessing, BertProcessing: text and id
  const id = (first as { SpecialToken?: { id?: unknown } } | undefined)?.SpecialToken?.id ?? text;
  return typeof id === 'string' ? id : null;
}
