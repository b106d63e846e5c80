import { dataOf } from '../ir/known.js';
import { Tensor } from '../ir/tensor.js';
import type { Shape } from '../ir/graph.js';
import { rulePass, type RewriteRule } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { perChannel } from './constants.js';

/** Conv(x, W, B) + c = Conv(x, W, B + c) where the constant c has one value per output channel (or a single one). */
const rule = (op: 'Conv' | 'ConvTranspose'): RewriteRule => ({
  name: op === 'Conv' ? 'fold-bias-add' : 'fold-bias-add-transpose',
  doc: `Folds an added constant into the bias of the ${op} before it.`,
  numerics: 'close',
  pattern: `c = ${op}(x, W, B?)\ny = Add(c, k)`,
  check(m) {
    const constant = m.constant('k', 'B');
    if (constant !== true) return constant;
    const [k, shape] = [dataOf(m.value('k')), m.value('c').shape]; // constant() made sure
    const outputs = channels(m.value('W').shape, op, m.node('c').int('group', 1));
    if (k.dtype !== 'float32' || !shape || outputs === undefined) return 'shapes or types are not known';
    if (k.dims.length > shape.length) return 'the constant has more axes than the output';
    const aligned = [...Array<number>(shape.length - k.dims.length).fill(1), ...k.dims];
    return (
      aligned.every((d, i) => d === 1 || (i === 1 && d === outputs)) || 'the constant varies over more than channels'
    );
  },
  rewrite(m, b) {
    const conv = m.node('c');
    const outputs = channels(m.value('W').shape, op, conv.int('group', 1))!; // check() made sure
    const k = dataOf(m.value('k')).f64();
    const old = m.optional('B')?.data?.f64();
    const bias = Float32Array.from({ length: outputs }, (_, i) => (old?.[i] ?? 0) + k[k.length === 1 ? 0 : i]!);
    return b.op(
      op,
      [m.value('x'), m.value('W'), b.constant(Tensor.f32(bias), m.optional('B')?.name ?? m.value('k').name)],
      { attrs: Object.fromEntries(conv.attrs), name: conv.name },
    );
  },
});

function channels(w: Shape | undefined, op: string, group: number): number | undefined {
  const d = op === 'Conv' ? w?.[0] : w?.[1];
  return typeof d === 'number' ? d * (op === 'Conv' ? 1 : group) : undefined;
}
export const foldBiasAdd = rulePass(rule('Conv'));
export const foldBiasAddTranspose = rulePass(rule('ConvTranspose'));

/** Gemm(x, W, B) + k = Gemm(x, W, B + k) where B and the constant k have one value per column (or a single one). */
export const foldBiasAddGemm = rulePass({
  name: 'fold-bias-add-gemm',
  doc: 'Folds an added constant into the bias of the Gemm before it.',
  numerics: 'close',
  opset: 7,
  pattern: 'c = Gemm(x, W, B?)\ny = Add(c, k)',
  check(m) {
    const constant = m.constant('k', 'B');
    if (constant !== true) return constant;
    if (m.node('c').float('beta', 1) !== 1) return 'Gemm has a factor on its bias';
    const columns = columnsOf(m);
    if (columns === undefined) return 'the number of columns is not known';
    return (
      ['k', 'B'].every((name) => !m.optional(name) || perChannel(m.value(name), 2, 1, columns)) ||
      'the constant varies over more than columns'
    );
  },
  rewrite(m, b) {
    const columns = columnsOf(m) ?? 0;
    const [k, old] = [
      perChannel(m.value('k'), 2, 1, columns),
      m.optional('B') && perChannel(m.value('B'), 2, 1, columns),
    ];
    const bias = Float32Array.from({ length: columns }, (_, i) => (old?.[i] ?? 0) + (k?.[i] ?? 0));
    return b.op(
      'Gemm',
      [m.value('x'), m.value('W'), b.constant(Tensor.f32(bias), (m.optional('B') ?? m.value('k')).name)],
      { attrs: Object.fromEntries(m.node('c').attrs), name: m.node('c').name || 'Gemm' },
    );
  },
});
function columnsOf(m: Match): number | undefined {
  const d = m.value('W').shape?.[m.node('c').int('transB', 0) ? 0 : 1];
  return typeof d === 'number' ? d : undefined;
}
