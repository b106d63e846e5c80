import { rulePass } from '../../src/rewrite/pass.js';

/** Neg(Neg(x)) is x, to the bit. A pattern matches only where nobody else uses what lies within it. */
export const eliminateNegPair = rulePass({
  name: 'eliminate-neg-pair',
  doc: 'Removes a Neg that undoes the one before it.',
  numerics: 'exact',
  pattern: `
    inner = Neg(x)
    y = Neg(inner)`,
  rewrite: (m) => m.value('x'),
});
