/**
 * Mixtures of experts, and attention with its projections, as onnxruntime has them. Source:
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 */
import type { Dim, Shape } from '../ir/graph.js';
import { quantized } from './quant.js';
import { PLAIN, sizeOf, type Cost, type Known, type OpSpec } from './spec.js';

const MS = 'com.microsoft';

/** Each row of the input goes through k of the experts, whose matrices lie in inputs `weights`, [experts, …]. */
function expertsCost(
  inputs: readonly (Known | undefined)[],
  k: number,
  weights: readonly number[],
  codes: number,
): Cost {
  const rows = sizeOf(inputs[0]?.shape?.slice(0, -1));
  const matrix = (i: number): number => (inputs[i]?.shape ? sizeOf(inputs[i].shape.slice(1)) * codes : 0);
  return { macs: rows * k * weights.reduce((n, i) => n + matrix(i), 0), otherOps: sizeOf(inputs[1]?.shape) };
}

const mixture = (op: string, doc: string, weights: readonly number[], quant: OpSpec['quant']): OpSpec => ({
  op,
  domain: MS,
  since: 1,
  doc,
  foldable: true,
  infer: (ctx) => [{ dtype: ctx.input(0)?.dtype, shape: ctx.input(0)?.shape }],
  cost: (inputs, _outputs, node) =>
    expertsCost(
      inputs,
      node.int('k', 1),
      weights,
      op === 'QMoE' ? 8 / Math.max(1, node.int('expert_weight_bits', 4)) : 1,
    ),
  quant,
  ...PLAIN,
});

/** The last axis of values: given, or a third of the projection. */
function valueWidth(sizes: readonly number[], weights: Shape | undefined): Dim {
  const [, , values] = sizes;
  if (values !== undefined) return values;
  const all = weights?.[1];
  return typeof all === 'number' ? all / 3 : null;
}

export const expertOps: readonly OpSpec[] = [
  mixture('MoE', 'Mixture of experts: rows go through the experts that a router chooses.', [2, 4, 6], {
    role: 'float',
    because: 'no integer kernel',
  }),
  mixture('QMoE', 'Mixture of experts with weights of 2, 4 or 8 bits.', [2, 5, 8], quantized),
  {
    op: 'Attention',
    domain: MS,
    since: 1,
    doc: 'Projects its input to queries, keys and values, and attends by head.',
    foldable: true,
    infer(ctx) {
      const [x, w, past] = [ctx.input(0), ctx.input(1), ctx.input(4)];
      const width = valueWidth(ctx.node.ints('qkv_hidden_sizes', []), w?.shape);
      const heads = ctx.node.int('num_heads', 0);
      const size = typeof width === 'number' && heads ? width / heads : null;
      const [batch = null, sequence = null] = x?.shape ?? [];
      const before = ctx.node.inputs[4] ? (past?.shape?.[3] ?? null) : 0;
      const total =
        typeof before === 'number' && typeof sequence === 'number' ? before + sequence : before === 0 ? sequence : null;
      return [
        { dtype: x?.dtype, shape: x?.shape && [batch, sequence, width] },
        { dtype: x?.dtype, shape: x?.shape && [2, batch, heads || null, total, size] },
      ];
    },
    /** The projection, Q·Kᵀ and its product with V; keys of a past are not counted. */
    cost([x, w], [y], node) {
      const sequence = x?.shape?.[1];
      const keys = typeof sequence === 'number' ? sequence : 1;
      const heads = node.int('num_heads', 0);
      const scores = sizeOf([x?.shape?.[0] ?? null, heads, sequence ?? null]) * keys;
      const all = w?.shape?.[1];
      const values = y?.shape?.[2];
      const [own, queries = typeof all === 'number' && typeof values === 'number' ? (all - values) / 2 : 0] = [
        typeof values === 'number' ? values : 0,
        node.ints('qkv_hidden_sizes', [])[0],
      ];
      const projected = sizeOf(x?.shape?.slice(0, 2)) * sizeOf(w?.shape);
      return { macs: projected + (scores * (queries + own)) / Math.max(1, heads), otherOps: scores };
    },
    quant: { role: 'float', because: 'no integer kernel' },
    ...PLAIN,
  },
];
