/**
 * Operators of transformers as onnxruntime's exporters and optimisers write them: normalisations with the sum before
 * them, and activations. source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 */
import * as activations from './gradients/gelus.js';
import * as gradients from './gradients/norm.js';
import type { LinkRule } from './facets.js';
import { affine } from './linear.js';
import { beside, elements, operands, same } from './links.js';
import { broadcast, perElement, sizeOf, type OpSpec, type QuantRole } from './spec.js';

const MS = 'com.microsoft';
const statistics: QuantRole = { role: 'float', because: 'its statistics depend on the input' };
const noKernel: QuantRole = { role: 'float', because: 'no integer kernel' };

/** All axes but the last, which is normalised, so that its channels stay; of the sum, too. */
const skipped: LinkRule = (n) =>
  n.inputs.slice(0, 2).flatMap((x) => {
    const before = (axis: number): boolean => axis < (x?.shape?.length ?? 0) - 1;
    return [...same(x, n.outputs[0], false, before), ...same(x, n.outputs[3], true, before)];
  });

/** Sums, and normalises the last axis; further results are the mean, 1 ÷ the deviation, and the sum. */
const skipNorm = (op: string, doc: string, centred: boolean): OpSpec => ({
  op,
  domain: MS,
  since: 1,
  doc,
  foldable: true,
  quant: statistics,
  linear: 'no',
  links: skipped,
  gradient: gradients.skipNorm(centred),
  cost: (_inputs, [y]) => ({ macs: 0, otherOps: 2 * sizeOf(y?.shape) }),
  infer(ctx) {
    const x = ctx.input(0);
    const known = { dtype: x?.dtype, shape: x?.shape };
    const reduced = { dtype: 'float32' as const, shape: x?.shape?.map((d, i) => (i === x.shape!.length - 1 ? 1 : d)) };
    return [known, reduced, reduced, known];
  },
});

/** A function of single elements, or of their sums with a bias. */
const gelu = (op: string, doc: string, gradient: OpSpec['gradient'], biased: boolean): OpSpec => ({
  op,
  domain: MS,
  since: 1,
  doc,
  foldable: true,
  quant: noKernel,
  linear: 'no',
  links: biased ? operands : elements,
  gradient,
  cost: perElement,
  infer(ctx) {
    const x = ctx.input(0);
    const b = biased ? ctx.input(1) : undefined;
    return [{ dtype: x?.dtype, shape: b ? broadcast(x?.shape, b.shape) : x?.shape }];
  },
});

export const contribOps: readonly OpSpec[] = [
  {
    op: 'SimplifiedLayerNormalization',
    domain: '', // where onnxruntime keeps it, beyond the standard
    since: 1,
    doc: 'Divides by the root mean square: onnxruntime’s name of RMSNormalization.',
    foldable: true,
    quant: statistics,
    linear: affine(-1),
    links: beside(-1, false),
    gradient: gradients.rmsNorm,
    cost: perElement,
    infer(ctx) {
      const x = ctx.input(0);
      const axis = ctx.node.int('axis', -1);
      const from = axis < 0 ? axis + (x?.shape?.length ?? 0) : axis;
      return [
        { dtype: x?.dtype, shape: x?.shape },
        { dtype: 'float32', shape: x?.shape?.map((d, i) => (i >= from ? 1 : d)) },
      ];
    },
  },
  skipNorm('SkipSimplifiedLayerNormalization', 'SimplifiedLayerNormalization of a sum.', false),
  skipNorm('SkipLayerNormalization', 'LayerNormalization of a sum.', true),
  gelu('Gelu', 'Gaussian error linear unit.', activations.gelu, false),
  gelu('QuickGelu', 'x · sigmoid(αx).', activations.quickGelu, false),
  gelu('BiasGelu', 'Gelu of a sum with a bias.', activations.biasGelu, true),
  gelu('FastGelu', 'Gelu by tanh, of a sum where it has a bias.', activations.fastGelu, true),
];
