import { item } from '../base/lists.js';
import type { Dim, Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { floatAttr, type GraphBuilder } from '../rewrite/builder.js';
import { producerOf } from '../rewrite/bypass.js';
import { sameDim } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { scalarOf } from './constants.js';

/** Where exporters put 1/√d: on both factors, on one, on their product, or nowhere. `s` is the product. */
const SCALED = [
  'a = Mul|Div(q, k1!)\nb = Mul|Div(kt, k2!)\ns = MatMul(a, b)',
  'a = Mul|Div(q, k1!)\ns = MatMul(a, kt)',
  'b = Mul|Div(kt, k2!)\ns = MatMul(q, b)',
  'c = MatMul(q, kt)\ns = Mul|Div(c, k3!)',
  's = MatMul(q, kt)',
];
/** How masks come in: chosen, added, both, or none. `m` is what Softmax gets. */
const MASKED = ['w = Where(cond, s, low!)\nm = Add(w, mask)', 'm = Where(cond, s, low!)', 'm = Add(s, mask)', ''];
/** Some replace the NaN of queries without a key by 0. */
const GUARDED = ['y = MatMul(p, v)', 'n = IsNaN(p)\nz = Where(n, nil!, p)\ny = MatMul(z, v)'];
const PATTERNS = SCALED.flatMap((scaled) =>
  MASKED.flatMap((masked) => GUARDED.map((end) => `${scaled}\n${masked}\np = Softmax(${masked ? 'm' : 's'})\n${end}`)),
);

/** The constant that a Mul or Div applies; undefined where it is no scalar. */
function factor(m: Match, node: string, constant: string): number | undefined {
  if (!m.has(constant)) return 1;
  const k = scalarOf(m.value(constant), m.value(node));
  return k === undefined ? undefined : m.node(node).op === 'Div' ? 1 / k : k;
}
const scaleOf = (m: Match): number | undefined => {
  const k = [factor(m, 'a', 'k1'), factor(m, 'b', 'k2'), factor(m, 's', 'k3')];
  return k.includes(undefined) ? undefined : k.reduce<number>((n, f) => n * (f ?? 1), 1);
};

/** From here on x + low is low for every score that float32 arithmetic can make sense of. */
const SWALLOWS = -1e30;
/**
 * onnxruntime gives 0 to queries that see nothing but the lowest float32 or −∞; of this number it takes the mean, as
 * Softmax does.
 */
const FLOOR = -1e38;
/** Mask and condition may stretch along the scores [batch, heads, queries, keys], but not stretch these. */
function fits(v: Value, scores: readonly Dim[]): boolean {
  const shape = v.shape;
  if (!shape || shape.length > 4) return false;
  // The last size of a mask is that of V's positions, or 1: else the product with V would not be defined.
  return shape.every((d, i) => {
    const at = i + 4 - shape.length;
    return at === 3 || d === 1 || sameDim(d, scores[at]);
  });
}
/** Sizes of the scores: [batch, heads, queries, keys]. */
const scoresOf = (m: Match): readonly Dim[] => [
  ...(m.value('q').shape ?? []).slice(0, 3),
  m.value('kt').shape?.[3] ?? null,
];

/**
 * softmax(Q·Kᵀ·scale + mask)·V of [batch, heads, sequence, d] is Attention. Trades two MatMul, which have integer
 * kernels, for an op that has none. Where(c, scores, low) is scores + Where(c, 0, low) for a low that swallows what it
 * is added to. A constant mask that hides just what comes later is `is_causal`. onnxruntime wants the mask to have the
 * last two sizes of the scores, so a shorter one is expanded, and a low that no query may see alone, so it is clipped.
 * source: https://arxiv.org/abs/1706.03762
 */
export const fuseAttention = rulePass({
  name: 'fuse-attention',
  doc: 'Fuses attention spelled with MatMul and Softmax.',
  numerics: 'close',
  opset: 23,
  pattern: PATTERNS,
  check(m) {
    const [q, k, v] = [m.value('q').shape, m.value('kt').shape, m.value('v').shape];
    if (q?.length !== 4 || k?.length !== 4 || v?.length !== 4 || m.value('q').dtype !== 'float32')
      return 'it is not float32 of four axes: batch, heads, sequence, d';
    if (typeof q[1] !== 'number' || [k, v].some((s) => !sameDim(s[0], q[0]) || !sameDim(s[1], q[1])))
      return 'batch and heads are not known to be the same for Q, K and V';
    if (!sameDim(k[3], v[2])) return 'K and V are not known to have equally many positions';
    const axis = m.node('p').int('axis', -1);
    if (axis !== -1 && axis !== 3) return 'its Softmax is not over the keys';
    if (scaleOf(m) === undefined) return 'its scale is not one float32 number';
    if (m.has('low') && !((scalarOf(m.value('low')) ?? 0) <= SWALLOWS))
      return 'what stands for masked scores is not low enough';
    const masks = ['mask', 'cond'].filter((name) => m.has(name)).map((name) => m.value(name));
    if (!masks.every((mask) => fits(mask, scoresOf(m))))
      return 'the mask is not known to have the sizes of the scores, or 1';
    const floor = floorOf(m);
    return floor === 'keep' || floor === 'clip' || floor;
  },
  rewrite(m, b) {
    const [q, kt, v] = [m.value('q'), m.value('kt'), m.value('v')];
    const causal = m.has('mask') && !m.has('cond') && isCausal(m.value('mask'), scoresOf(m));
    const name = m.node('y').name || 'Attention';
    const k = b.op('Transpose', [kt], { attrs: { perm: [0, 1, 3, 2] }, name: `${name}_keys` });
    const mask = causal ? undefined : maskOf(m, b, name);
    return b.op('Attention', mask ? [q, k, v, mask] : [q, k, v], {
      attrs: { scale: floatAttr(scaleOf(m) ?? 1), ...(causal ? { is_causal: 1 } : {}) },
      name,
    });
  },
});

/**
 * Whether the mask must be clipped to {@link FLOOR} for queries that see no key to come out the same, or why they
 * cannot.
 */
function floorOf(m: Match): 'keep' | 'clip' | string {
  const low = m.has('low') ? scalarOf(m.value('low')) : undefined;
  const mask = m.has('mask') ? m.value('mask') : undefined;
  const known = mask ? lowestOf(mask) : undefined;
  if (m.has('n')) {
    if (scalarOf(m.value('nil')) !== 0) return 'what stands for NaN is not 0';
    return (mask ? !m.has('cond') && known === -Infinity : low === -Infinity)
      ? 'keep'
      : 'it replaces NaN, which its mask is not known to give where a query sees no key';
  }
  if (mask?.data && !m.has('cond') && everyQuerySees(mask)) return 'keep';
  if (low === -Infinity || known === -Infinity) return 'a query that sees no key would give NaN before and 0 after';
  return mask && (m.has('cond') || known === undefined || known < FLOOR) ? 'clip' : 'keep';
}
/** The lowest element where it can be told: of a constant, or of a choice between two numbers. */
function lowestOf(v: Value): number | undefined {
  if (v.isInitializer)
    return v.data?.dtype === 'float32' ? v.data.f32().reduce((low, w) => Math.min(low, w), Infinity) : undefined;
  const where = producerOf(v, 'Where');
  const [a, b] = [scalarOf(where?.inputs[1] ?? null), scalarOf(where?.inputs[2] ?? null)];
  return a === undefined || b === undefined ? undefined : Math.min(a, b);
}
function everyQuerySees({ data }: Value): boolean {
  const keys = data?.dims.at(-1) ?? 0;
  if (!keys || data?.dtype !== 'float32') return false;
  const seen = new Set<number>();
  data.f32().forEach((w, i) => {
    if (w > SWALLOWS) seen.add(Math.floor(i / keys));
  });
  return seen.size === data.size / keys;
}

/** Whether a constant leaves each query the keys up to its own position, and swallows the others. */
function isCausal(mask: Value, scores: readonly Dim[]): boolean {
  const [data, dims] = [mask.data, mask.data?.dims ?? []];
  const size = dims.at(-1) ?? 0;
  if (
    !mask.isInitializer ||
    data?.dtype !== 'float32' ||
    dims.length < 2 ||
    dims.at(-2) !== size ||
    scores[2] !== size ||
    scores[3] !== size ||
    data.size !== size * size
  )
    return false;
  return data.f32().every((w, i) => (i % size <= Math.floor(i / size) ? w === 0 : w <= SWALLOWS));
}

/** What is added to the scores, with their last two sizes. */
function maskOf(m: Match, b: GraphBuilder, name: string): Value | undefined {
  let mask = m.has('mask') ? m.value('mask') : undefined;
  if (m.has('cond')) {
    const low = scalarOf(m.value('low')) ?? 0;
    const chosen = b.op(
      'Where',
      [
        m.value('cond'),
        b.constant(0, `${name}_zero`),
        b.constant(m.has('n') ? low : Math.max(low, FLOOR), `${name}_low`),
      ],
      { name: `${name}_where` },
    );
    mask = mask ? b.op('Add', [chosen, mask], { name: `${name}_masks` }) : chosen;
  }
  if (mask && floorOf(m) === 'clip')
    mask = b.op('Clip', [mask, b.constant(FLOOR, `${name}_floor`)], { name: `${name}_masked` });
  if (!mask?.shape) return mask;
  const scores = scoresOf(m);
  const [queries, keys] = [mask.shape.at(-2), mask.shape.at(-1)];
  if (mask.shape.length >= 2 && sameDim(queries, scores[2]) && sameDim(keys, scores[3])) return mask;
  const size = (axis: 2 | 3): Value =>
    sizeOf(scores[axis] ?? null, [mask, ...(axis === 2 ? [m.value('q')] : [m.value('kt')])], axis, b, name);
  const ones = b.constant(Tensor.i64([1, 1]), `${name}_ones`);
  return b.op(
    'Expand',
    [mask, b.op('Concat', [ones, size(2), size(3)], { attrs: { axis: 0 }, name: `${name}_mask_shape` })],
    { name: `${name}_mask` },
  );
}

/**
 * One size as a list: a constant, or read from the first of these values that has it; the last does, at `axis`. The
 * mask comes first, for it is shared by layers.
 */
function sizeOf(size: Dim, from: readonly Value[], axis: number, b: GraphBuilder, name: string): Value {
  if (typeof size === 'number') return b.constant(Tensor.i64([size]), `${name}_size`);
  // never empty
  const shared = from.find((v) => size !== null && v.shape?.includes(size)) ?? item(from, from.length - 1);
  const at = size === null ? axis : (shared.shape?.indexOf(size) ?? axis);
  return b.op('Shape', [shared], { attrs: { start: at, end: at + 1 }, name: `${name}_size` });
}
