import { rulePass } from '../rewrite/pass.js';
import { reducedAxes } from './constants.js';

/**
 * The mean of every position of each channel is GlobalAveragePool, which has an integer kernel; ReduceMean has none.
 * Where the mean drops the axes, Flatten does that, for the same two axes that are left.
 */
export const replaceMean = rulePass({
  name: 'replace-mean',
  doc: 'Replaces ReduceMean over all positions by GlobalAveragePool.',
  numerics: 'close',
  pattern: 'y = ReduceMean(x, a?!)',
  check(m) {
    const x = m.value('x');
    const rank = x.shape?.length;
    if (rank === undefined || x.dtype !== 'float32') return 'the rank or type is not known';
    if (rank < 4) return 'it is no mean over positions of images';
    const axes = reducedAxes(m.node('y'), rank);
    return (
      (axes?.length === rank - 2 && axes.every((a, i) => a === i + 2)) || 'it is over other axes than all positions'
    );
  },
  rewrite(m, b) {
    const node = m.node('y');
    const pooled = b.op('GlobalAveragePool', [m.value('x')], { name: node.name || 'GlobalAveragePool' });
    return node.int('keepdims', 1) === 1
      ? pooled
      : b.op('Flatten', [pooled], { attrs: { axis: 1 }, name: `${node.name || 'GlobalAveragePool'}_flatten` });
  },
});
