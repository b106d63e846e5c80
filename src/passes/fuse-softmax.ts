import type { Node } from '../ir/graph.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { reducedAxes } from './constants.js';

/** The one axis that all these reductions keep as 1, or why there is none. */
function sharedAxis(m: Match, ...reductions: readonly Node[]): number | string {
  const rank = m.value('x').shape?.length;
  if (rank === undefined || m.value('x').dtype !== 'float32') return 'the rank or type is not known';
  const [first, ...rest] = reductions.map((n) => (n.int('keepdims', 1) === 1 ? reducedAxes(n, rank) : undefined));
  if (first?.length !== 1) return 'it reduces several or unknown axes, or drops the axis';
  return rest.every((a) => a?.join() === first.join()) ? (first[0] ?? 0) : 'its reductions are over different axes';
}
const found = (axis: number | string): true | string => (typeof axis === 'string' ? axis : true);

const SOFTMAX = [
  'mx = ReduceMax(x, a1?!)\nd = Sub(x, mx)\ne = Exp(d)\ns = ReduceSum(e, a2?!)',
  'e = Exp(x)\ns = ReduceSum(e, a2?!)',
].flatMap((sum) => ['y = Div(e, s)', 'r = Reciprocal(s)\ny = Mul(e, r)'].map((last) => `${sum}\n${last}`));
const softmaxAxis = (m: Match): number | string =>
  m.has('mx') ? sharedAxis(m, m.node('mx'), m.node('s')) : sharedAxis(m, m.node('s'));

/**
 * e^x / Σ e^x along one axis, with or without the maximum taken off first, is Softmax. Before opset 13 Softmax means
 * several axes.
 */
export const fuseSoftmax = rulePass({
  name: 'fuse-softmax',
  doc: 'Fuses a Softmax spelled with Exp.',
  numerics: 'close',
  opset: 13,
  pattern: SOFTMAX,
  check: (m) => found(softmaxAxis(m)),
  rewrite: (m, b) =>
    b.op('Softmax', [m.value('x')], { attrs: { axis: Number(softmaxAxis(m)) }, name: m.node('y').name || 'Softmax' }),
});

const LOG_SOFTMAX = [
  'p = Softmax(x)\ny = Log(p)',
  'l = ReduceLogSumExp(x, a?!)\ny = Sub(x, l)',
  'mx = ReduceMax(x, a1?!)\nd = Sub(x, mx)\ne = Exp(d)\ns = ReduceSum(e, a2?!)\nl = Log(s)\ny = Sub(d, l)',
  'mx = ReduceMax(x, a1?!)\nd = Sub(x, mx)\ne = Exp(d)\ns = ReduceSum(e, a2?!)\nl = Log(s)\nt = Add(l, mx)\n' +
    'y = Sub(x, t)',
  'e = Exp(x)\ns = ReduceSum(e, a2?!)\nl = Log(s)\ny = Sub(x, l)',
];
const logSoftmaxAxis = (m: Match): number | string =>
  m.has('p')
    ? m.node('p').int('axis', -1)
    : m.has('mx')
      ? sharedAxis(m, m.node('mx'), m.node('s'))
      : sharedAxis(m, m.node(m.has('s') ? 's' : 'l'));

/**
 * ln Softmax(x) and x − ln Σ e^x are LogSoftmax, which does not underflow. Log has no integer kernel, with or without
 * it.
 */
export const fuseLogSoftmax = rulePass({
  name: 'fuse-log-softmax',
  doc: 'Fuses a LogSoftmax spelled with Log.',
  numerics: 'close',
  opset: 13,
  pattern: LOG_SOFTMAX,
  check: (m) => found(logSoftmaxAxis(m)),
  rewrite: (m, b) =>
    b.op('LogSoftmax', [m.value('x')], {
      attrs: { axis: Number(logSoftmaxAxis(m)) },
      name: m.node('y').name || 'LogSoftmax',
    }),
});
