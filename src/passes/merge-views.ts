/** Ops that only rename positions: two in a row are one. */
import type { Node } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { listOf, permutationOf } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';

/** Transpose(Transpose(x, p), q) = Transpose(x, p∘q), whose axis i is axis p[q[i]] of x. */
export const mergeTransposes = rulePass({
  name: 'merge-transposes',
  doc: 'Merges two Transposes into one.',
  numerics: 'exact',
  pattern: 'a = Transpose(x)\ny = Transpose(a)',
  check(m) {
    const [p, q] = [permutationOf(m.node('a')), permutationOf(m.node('y'))];
    return p && q ? p.length === q.length || 'they are of different ranks' : 'the rank is not known';
  },
  rewrite(m, b) {
    const [p, q] = [permutationOf(m.node('a'))!, permutationOf(m.node('y'))!]; // check() made sure
    return b.op('Transpose', [m.value('x')], {
      attrs: { perm: q.map((a) => p[a]!) },
      name: m.node('y').name || 'Transpose',
    });
  },
});

const VIEW = 'Reshape|Flatten|Squeeze|Unsqueeze|Transpose';

/**
 * A reshape of a reshape, in any spelling, is one Reshape of the first input: both keep the elements and their order.
 * So does a Transpose that moves axes of size 1 only. Refuses where the final shape cannot be written: more than one
 * size that is neither a number nor the input's size on the same axis.
 */
export const mergeReshapes = rulePass({
  name: 'merge-reshapes',
  doc: 'Merges two of Reshape, Flatten, Squeeze and Unsqueeze into one Reshape.',
  numerics: 'exact',
  pattern: `a = ${VIEW}(x, s?)\ny = ${VIEW}(a, t?)`,
  check(m) {
    const transposes = [m.node('a'), m.node('y')].filter((n) => n.op === 'Transpose');
    if (transposes.length === 2) return 'two Transposes: merge-transposes merges them';
    if (!transposes.every(keepsOrder)) return 'the Transpose moves elements';
    return targetOf(m) ? true : 'more than one size of the final shape is not known';
  },
  rewrite(m, b) {
    const y = m.value('y');
    const target = targetOf(m)!; // check() made sure
    if ((b.model.opsets.get('') ?? 1) < 5)
      return b.op('Reshape', [m.value('x')], { attrs: { shape: target }, name: m.node('y').name || 'Reshape' });
    return b.op('Reshape', [m.value('x'), b.constant(Tensor.i64(target), `${y.name}_shape`)], {
      name: m.node('y').name || 'Reshape',
    });
  },
});

/** Whether a Transpose leaves axes longer than 1 in their order. */
function keepsOrder(n: Node): boolean {
  const shape = n.inputs[0]?.shape;
  const long = permutationOf(n)?.filter((p) => shape?.[p] !== 1);
  return shape !== undefined && long !== undefined && long.every((p, i) => i === 0 || p > long[i - 1]!);
}

/** The target of the merged Reshape; undefined where it cannot be written. */
function targetOf(m: Match): readonly number[] | undefined {
  // What the model itself says holds whatever the declared shapes are worth. A 0 copies from the middle shape, which
  // goes.
  const given = m.node('y').op === 'Reshape' ? listOf(m.node('y'), 'shape', 1) : undefined;
  if (given && !given.includes(0)) return given;
  const [to, from] = [m.value('y').shape, m.value('x').shape];
  if (!to || to.includes(0)) return undefined;
  const target = to.map((d, i) => (typeof d === 'number' ? d : d !== null && d === from?.[i] ? 0 : -1));
  return target.filter((d) => d === -1).length <= 1 ? target : undefined;
}
