import { Tensor } from '../ir/tensor.js';
import { constantInts } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';

/**
 * Pad(x, pads, value, axes) = Pad(x, pads of all axes, value): onnxruntime 1.30 reorders `pads` for NHWC convolutions
 * as
 * if there were no `axes`, and then fails. Refuses where the rank, the pads or the axes are not known.
 */
export const normalizePad = rulePass({
  name: 'normalize-pad',
  doc: 'Writes the pads of Pad for all axes, instead of for chosen ones.',
  numerics: 'exact',
  pattern: 'y = Pad(x, p, v?, a)',
  check(m) {
    const rank = m.value('x').shape?.length;
    const [pads, axes] = [constantInts(m.value('p')), constantInts(m.value('a'))];
    if (rank === undefined) return 'the rank is not known';
    if (!pads || !axes) return 'the pads or their axes are computed';
    return pads.length === 2 * axes.length && axes.every((a) => a >= -rank && a < rank)
      ? true
      : 'the pads do not fit the axes';
  },
  rewrite(m, b) {
    const [x, value] = [m.value('x'), m.optional('v')];
    const rank = x.shape!.length; // check() made sure, of the following too
    const [pads, axes] = [constantInts(m.value('p'))!, constantInts(m.value('a'))!];
    const all = new Array<number>(2 * rank).fill(0);
    axes.forEach((a, i) => {
      const axis = a < 0 ? a + rank : a;
      all[axis]! += pads[i]!; // as many as axes, twice
      all[axis + rank]! += pads[i + axes.length]!;
    });
    const name = m.value('y').name;
    return b.op('Pad', [x, b.constant(Tensor.i64(all), `${name}_pads`), ...(value ? [value] : [])], {
      attrs: Object.fromEntries(m.node('y').attrs),
      name: m.node('y').name || 'Pad',
    });
  },
});
