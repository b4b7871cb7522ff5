/**
 * What metrics of answers are called, apart from computing them: pages that only show results need no engine
 * for it.
 */

/** Of the shown answers: `logit(" Mary") − logit(" John")`, `log p(" Mary")`, `p(" Mary")`. */
export const metricNames = {
  logitDiff: (correct: string, wrong: string): string => `logit(${correct}) − logit(${wrong})`,
  logProb: (token: string): string => `log p(${token})`,
  prob: (token: string): string => `p(${token})`,
};
