import type { Node, Value } from '../ir/graph.js';
import { rulePass, type Pass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { scalarOf } from './constants.js';

/**
 * Pads of a Pad that adds `value` around the positions only, as [begins…, ends…] of those; or why it is another one.
 */
function spatialPads(pad: Node, rank: number | undefined, value: number): readonly number[] | string {
  if (pad.string('mode', 'constant') !== 'constant') return 'it does not pad with a constant';
  if (pad.inputs[3]) return 'it pads chosen axes';
  const pads = pad.attrs.has('pads')
    ? pad.ints('pads')
    : pad.inputs[1]?.isInitializer
      ? pad.inputs[1].data?.numbersOrUndefined()
      : undefined;
  if (!pads || rank === undefined || rank < 3 || pads.length !== 2 * rank) return 'its pads or the rank are not known';
  const filler = pad.attrs.has('value') ? pad.float('value') : pad.inputs[2] ? scalarOf(pad.inputs[2]) : 0;
  if (filler !== value) return `it pads with ${filler ?? 'a computed value'}, not ${value}`;
  if (pads.some((p, i) => p < 0 || (p > 0 && i % rank < 2))) return 'it cuts, or pads batch or channels';
  return [...pads.slice(2, rank), ...pads.slice(rank + 2)];
}

/** A Pad before a window op joins the pads of the op, where both mean the same value. */
function padRule(
  name: string,
  op: string,
  inputs: string,
  value: number,
  fits: (node: Node, pads: readonly number[]) => true | string,
  attrs: (node: Node) => Record<string, number>,
): Pass {
  const joined = (m: Match): readonly number[] | string => {
    const node = m.node('y');
    const added = spatialPads(m.node('p'), m.value('x').shape?.length, value);
    if (typeof added === 'string') return added;
    if (node.string('auto_pad', 'NOTSET') !== 'NOTSET') return `${op} chooses its pads itself`;
    return node
      .ints(
        'pads',
        added.map(() => 0),
      )
      .map((n, i) => n + (added[i] ?? 0));
  };
  return rulePass({
    name,
    doc: `Takes a Pad into the pads of the ${op} after it.`,
    numerics: 'close',
    pattern: `p = Pad(x, pads?!, v?!, a?)\ny = ${op}(p${inputs})`,
    check(m) {
      const pads = joined(m);
      return typeof pads === 'string' ? pads : fits(m.node('y'), pads);
    },
    rewrite(m, b): Value {
      const node = m.node('y');
      const pads = joined(m) as readonly number[]; // check() made sure
      const last = node.attrs.get('auto_pad') ? { auto_pad: 'NOTSET' } : {};
      return b.op(op, [m.value('x'), ...node.inputs.slice(1)], {
        attrs: { ...Object.fromEntries(node.attrs), ...last, ...attrs(node), pads },
        name: node.name || op,
      });
    },
  });
}

/** ONNX Runtime refuses pools with a pad as large as the window. */
const fitsWindow = (node: Node, pads: readonly number[]): true | string => {
  const kernel = node.ints('kernel_shape');
  return pads.every((p, i) => p < (kernel[i % kernel.length] ?? 0)) || 'the pads would reach the size of the window';
};

export const fusePadConv = padRule(
  'fuse-pad-conv',
  'Conv',
  ', W, B?',
  0,
  () => true,
  () => ({}),
);
/** Padded zeros count in the mean: only where the pool has no pads of its own that do not. */
export const fusePadAveragePool = padRule(
  'fuse-pad-average-pool',
  'AveragePool',
  '',
  0,
  (n, pads) => {
    if (n.int('ceil_mode', 0) !== 0) return 'AveragePool rounds up';
    if (n.int('count_include_pad', 0) !== 1 && n.ints('pads', []).some((p) => p !== 0))
      return 'AveragePool does not count its own pads';
    return fitsWindow(n, pads);
  },
  () => ({ count_include_pad: 1 }),
);
/** MaxPool pads with −∞. */
export const fusePadMaxPool = padRule(
  'fuse-pad-max-pool',
  'MaxPool',
  '',
  -Infinity,
  (n, pads) =>
    n.int('ceil_mode', 0) !== 0
      ? 'MaxPool rounds up'
      : n.outputs[1]?.name
        ? 'its indices are used'
        : fitsWindow(n, pads),
  () => ({}),
);
