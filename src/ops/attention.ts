/** Attention and rotary embedding: https://onnx.ai/onnx/operators/onnx__Attention.html, onnx__RotaryEmbedding.html */
import type { Dim, Shape } from '../ir/graph.js';
import { PLAIN, sizeOf, UNKNOWN, type Cost, type OpSpec } from './spec.js';

/** [batch, sequence, heads · d] with the number of heads, or [batch, heads, sequence, d]. */
function headsOf(
  shape: Shape | undefined,
  heads: number,
): { readonly batch: Dim; readonly heads: Dim; readonly sequence: Dim; readonly d: Dim } | undefined {
  if (shape?.length === 4)
    return { batch: shape[0] ?? null, heads: shape[1] ?? null, sequence: shape[2] ?? null, d: shape[3] ?? null };
  const width = shape?.[2];
  return shape?.length === 3 && heads > 0
    ? {
        batch: shape[0] ?? null,
        heads,
        sequence: shape[1] ?? null,
        d: typeof width === 'number' ? width / heads : null,
      }
    : undefined;
}
const number = (d: Dim | undefined): number => (typeof d === 'number' ? d : 1);

export const attention = {
  op: 'Attention',
  domain: '',
  since: 23,
  doc: 'softmax(Q·Kᵀ·scale + mask)·V by head.',
  foldable: true,
  infer(ctx) {
    const q = headsOf(ctx.input(0)?.shape, ctx.node.int('q_num_heads', 0));
    const k = headsOf(ctx.input(1)?.shape, ctx.node.int('kv_num_heads', 0));
    const v = headsOf(ctx.input(2)?.shape, ctx.node.int('kv_num_heads', 0));
    const dtype = ctx.input(0)?.dtype;
    if (!q || !k || !v)
      return [{ dtype, shape: undefined }, { dtype, shape: undefined }, UNKNOWN, { dtype, shape: undefined }];
    const width = typeof v.d === 'number' && typeof q.heads === 'number' ? v.d * q.heads : null;
    // Keys and values of a past come first.
    const past = ctx.node.inputs[4] ? (ctx.input(4)?.shape?.[2] ?? null) : 0;
    const total =
      past === 0 ? k.sequence : typeof past === 'number' && typeof k.sequence === 'number' ? past + k.sequence : null;
    return [
      {
        dtype,
        shape: ctx.input(0)?.shape?.length === 3 ? [q.batch, q.sequence, width] : [q.batch, q.heads, q.sequence, v.d],
      },
      { dtype, shape: [k.batch, k.heads, total, k.d] },
      { dtype: ctx.input(2)?.dtype, shape: [v.batch, v.heads, total, v.d] },
      { dtype, shape: [q.batch, q.heads, q.sequence, total] },
    ];
  },
  /** Q·Kᵀ and its product with V; one operation for each of the scores' softmax. Keys of a past are not counted. */
  cost(inputs, _outputs, node) {
    const q = headsOf(inputs[0]?.shape, node.int('q_num_heads', 0));
    const k = headsOf(inputs[1]?.shape, node.int('kv_num_heads', 0));
    const v = headsOf(inputs[2]?.shape, node.int('kv_num_heads', 0));
    if (!q || !k || !v) return { macs: 0, otherOps: 0 };
    const scores = sizeOf([q.batch, q.heads, q.sequence]) * number(k.sequence);
    return { macs: scores * (number(q.d) + number(v.d)), otherOps: scores };
  },
  quant: { role: 'float', because: 'no integer kernel' },
  ...PLAIN,
} satisfies OpSpec;

export const rotaryEmbedding = {
  op: 'RotaryEmbedding',
  domain: '',
  since: 23,
  doc: 'Rotates pairs of elements by angles of their position.',
  foldable: true,
  infer: (ctx) => [{ dtype: ctx.input(0)?.dtype, shape: ctx.input(0)?.shape }],
  cost: (_inputs, [y]) => ({ macs: 0, otherOps: 3 * sizeOf(y?.shape) }),
  quant: { role: 'float', because: 'no integer kernel' },
  ...PLAIN,
} satisfies OpSpec;

const MS = 'com.microsoft';
export const rotaryEmbeddingMs = {
  ...rotaryEmbedding,
  domain: MS,
  since: 1,
  doc: 'Rotates pairs of elements by angles of their position, as onnxruntime has it.',
} satisfies OpSpec;

/** Products of queries with keys, and with values, of a node whose heads share a size. */
function attentionCost(q: Shape | undefined, heads: number, keys: Dim | undefined, width: number): Cost {
  const scores = sizeOf([q?.[0] ?? null, heads, q?.[1] ?? null]) * number(keys);
  return { macs: scores * width, otherOps: scores };
}

export const multiHeadAttention = {
  op: 'MultiHeadAttention',
  domain: MS,
  since: 1,
  doc: 'Attention by head of queries, keys and values, also packed into one tensor.',
  foldable: true,
  infer(ctx) {
    const [q, v] = [ctx.input(0), ctx.input(2)];
    const heads = ctx.node.int('num_heads', 0);
    // [batch, sequence, heads · d]; packed [batch, sequence, heads, 3, d]; by head [batch, heads, sequence, d]
    const d = q?.shape?.length === 5 ? q.shape[4] : v?.shape?.length === 4 ? v.shape[3] : undefined;
    const width = typeof d === 'number' ? heads * d : v?.shape?.length === 3 ? (v.shape[2] ?? null) : null;
    const present = { dtype: q?.dtype, shape: undefined };
    return [{ dtype: q?.dtype, shape: q?.shape && [q.shape[0] ?? null, q.shape[1] ?? null, width] }, present, present];
  },
  /** Keys of a past are not counted. */
  cost([q, k], [y], node) {
    const heads = node.int('num_heads', 0);
    const keys = k?.shape ? k.shape[k.shape.length === 4 ? 2 : 1] : q?.shape?.[1];
    const own = q?.shape?.length === 5 ? number(q.shape[4]) : number(q?.shape?.[2]) / Math.max(1, heads);
    return attentionCost(q?.shape, heads, keys, own + number(y?.shape?.[2]) / Math.max(1, heads));
  },
  quant: { role: 'float', because: 'no integer kernel' },
  ...PLAIN,
} satisfies OpSpec;

export const groupQueryAttention = {
  op: 'GroupQueryAttention',
  domain: MS,
  since: 1,
  doc: 'Causal attention whose heads of queries share heads of keys and values, with those of the past.',
  foldable: true,
  infer(ctx) {
    const [q, k, past] = [ctx.input(0), ctx.input(1), ctx.input(3)];
    const [heads, shared] = [ctx.node.int('num_heads', 0), ctx.node.int('kv_num_heads', 0)];
    const whole = q?.shape?.[2];
    // Packed queries, keys and values lie in one tensor of all their heads.
    const d = k?.shape ? k.shape[2] : typeof whole === 'number' ? (whole * shared) / (heads + 2 * shared) : null;
    const size = typeof d === 'number' ? d / Math.max(1, shared) : null;
    const width = k?.shape ? (whole ?? null) : size === null ? null : size * heads;
    // A buffer that past and present share is longer than what is in it.
    // codes of a quantized cache stay codes
    const present = {
      dtype: past?.dtype ?? q?.dtype,
      shape: [q?.shape?.[0] ?? past?.shape?.[0] ?? null, shared, null, size],
    };
    return [{ dtype: q?.dtype, shape: q?.shape && [q.shape[0] ?? null, q.shape[1] ?? null, width] }, present, present];
  },
  /** Keys of a past are not counted. */
  cost([q], [y], node) {
    const heads = node.int('num_heads', 0);
    return attentionCost(q?.shape, heads, q?.shape?.[1], (2 * number(y?.shape?.[2])) / Math.max(1, heads));
  },
  quant: { role: 'float', because: 'no integer kernel' },
  ...PLAIN,
} satisfies OpSpec;
