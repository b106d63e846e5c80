/** Gradients of Einsum: an Einsum of the result's gradient and the other operands. */
import type { Value } from '../../ir/graph.js';
import type { GradientContext, GradientRule } from '../facets.js';
import { constantLike, expand, product, unbroadcast } from './build.js';

export const einsum: GradientRule = (g) => {
  const d = g.gradient(0);
  if (!d) return [];
  const { terms, result } = readEquation(g);
  if (terms.some((t) => new Set(t).size !== t.length)) return g.refuse('a letter stands twice in a term');
  const sizes = new Map<string, number>();
  terms.forEach((term, i) =>
    [...term].forEach((c, axis) => sizes.set(c, Math.max(sizes.get(c) ?? 1, g.sizes(g.input(i))[axis] ?? 1))),
  );
  const whole = (term: string): number[] => [...term].map((c) => sizes.get(c) ?? 1);
  return terms.map((term, i) => {
    if (!g.need(i)) return undefined;
    const others = terms.flatMap((t, j) => (j === i ? [] : [{ term: t, value: expand(g, g.input(j), whole(t)) }]));
    const operands = [{ term: result, value: d }, ...others];
    // Letters that only this operand has were summed over: their gradient is the same everywhere.
    const alone = [...term].filter((c) => !operands.some((o) => o.term.includes(c))).join('');
    if (alone) {
      const ones = constantLike(g, d, Array<number>(product(whole(alone))).fill(1), whole(alone));
      operands.push({ term: alone, value: ones });
    }
    const made = g.add(
      'Einsum',
      operands.map((o): Value => o.value),
      { equation: `${operands.map((o) => o.term).join(',')}->${term}` },
    );
    return unbroadcast(g, made, g.sizes(g.input(i)));
  });
};

/** Terms and result with a letter for each axis: those of an ellipsis get letters that the equation does not use. */
function readEquation(g: GradientContext): { readonly terms: readonly string[]; readonly result: string } {
  const [left = '', right] = g.node.string('equation').replace(/\s/g, '').split('->');
  const free = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'].filter(
    (c) => !left.includes(c) && !right?.includes(c),
  );
  const raw = left.split(',');
  const hidden = raw.map((t, i) => (t.includes('...') ? g.sizes(g.input(i)).length - t.replace('...', '').length : 0));
  const most = Math.max(0, ...hidden);
  const dots = free.slice(0, most).join('');
  const terms = raw.map((t, i) => t.replace('...', dots.slice(most - (hidden[i] ?? 0))));
  if (right !== undefined) return { terms, result: right.replace('...', dots) };
  const all = [...left.replace(/[.,]/g, '')];
  const once = all.filter((c) => all.indexOf(c) === all.lastIndexOf(c)).sort();
  return { terms, result: dots + once.join('') };
}
