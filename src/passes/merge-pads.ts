import { Tensor } from '../ir/tensor.js';
import { constantInts, listOf } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';

/**
 * Pad(Pad(x, p), q) = Pad(x, p + q) for constant borders of one value, and for edge: the border grows outward. Refuses
 * other modes, negative pads, which cut what the other Pad added, and pads of chosen axes.
 */
export const mergePads = rulePass({
  name: 'merge-pads',
  doc: 'Merges two Pads of the same value into one.',
  numerics: 'exact',
  pattern: 'a = Pad(x, p?, v?, c?)\ny = Pad(a, q?, w?, d?)',
  check(m) {
    const [inner, outer] = [m.node('a'), m.node('y')];
    const mode = outer.string('mode', 'constant');
    if (inner.string('mode', 'constant') !== mode || (mode !== 'constant' && mode !== 'edge'))
      return `modes are ${inner.string('mode', 'constant')} and ${mode}`;
    if (m.optional('c') || m.optional('d')) return 'pads are of chosen axes';
    const [p, q] = [listOf(inner, 'pads', 1), listOf(outer, 'pads', 1)];
    if (!p || !q) return 'the pads are computed';
    if (p.length !== q.length || [...p, ...q].some((n) => n < 0)) return 'a negative pad cuts';
    const values = [valueOf(m, 'a', 'v'), valueOf(m, 'y', 'w')];
    return (
      mode === 'edge' ||
      (values[0] !== undefined && values[0] === values[1]) ||
      'the border values differ, or are computed'
    );
  },
  rewrite(m, b) {
    const [inner, outer] = [m.node('a'), m.node('y')];
    const [p, q] = [listOf(inner, 'pads', 1)!, listOf(outer, 'pads', 1)!]; // check() made sure
    const sum = p.map((n, i) => n + q[i]!);
    const attrs = Object.fromEntries(outer.attrs);
    if (!m.optional('q'))
      return b.op('Pad', [m.value('x')], { attrs: { ...attrs, pads: sum }, name: outer.name || 'Pad' });
    const w = m.optional('w');
    return b.op('Pad', [m.value('x'), b.constant(Tensor.i64(sum), `${m.value('y').name}_pads`), ...(w ? [w] : [])], {
      attrs,
      name: outer.name || 'Pad',
    });
  },
});

function valueOf(m: Match, node: 'a' | 'y', input: 'v' | 'w'): number | undefined {
  const v = m.optional(input);
  if (!v) return m.node(node).float('value', 0);
  if (!v.isInitializer || !v.data || v.data.size !== 1) return undefined;
  return v.data.dtype === 'int64' ? constantInts(v)?.[0] : v.data.f64()[0];
}
