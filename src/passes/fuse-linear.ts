import { dataOf } from '../ir/known.js';
import type { Node, Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { rulePass } from '../rewrite/pass.js';

const TYPES = 'weights or biases are not float32 constants of the usual shape';
const LARGER = 'one layer would have more weights than the two';
const SHARED = 'its weights have other uses';
/** Multiplications that merging may take: some seconds. */
const MOST_WORK = 4e9;
/** Whether one layer of `merged` weights takes the place of these two, or why not. */
function pays(V: Value, W: Value, merged: number, inner: number): true | string {
  if (V.uses.size !== 1 || W.uses.size !== 1 || V.isGraphOutput || W.isGraphOutput) return SHARED;
  if (merged > (V.data?.size ?? 0) + (W.data?.size ?? 0)) return LARGER;
  return merged * inner <= MOST_WORK || 'the weights are too large to be multiplied here';
}
const product = (dims: readonly number[]): number => dims.reduce((n, d) => n * d, 1);
/** A float32 constant of so many axes. */
const constant = (v: Value | null, rank: number): Tensor | undefined =>
  v?.data?.dtype === 'float32' && v.data.dims.length === rank ? v.data : undefined;

/** A [m,k] · B [k,n] in float64, row by row. */
function multiply(a: Float64Array, b: Float64Array, m: number, k: number, n: number): Float64Array {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      const s = a[i * k + p]!;
      if (s === 0) continue;
      for (let j = 0; j < n; j++) out[i * n + j]! += s * b[p * n + j]!;
    }
  }
  return out;
}

/**
 * (x·W₁)·W₂ = x·(W₁W₂), and with a bias between, (x·W₁ + b)·W₂ = x·(W₁W₂) + b·W₂. Only where W₁W₂ [k, n] has no more
 * elements than W₁ [k, m] and W₂ [m, n] together: through a narrow m, two products are the cheaper way.
 */
export const fuseLinearMatmul = rulePass({
  name: 'fuse-linear-matmul',
  doc: 'Merges two products by constants into one where that is smaller.',
  numerics: 'close',
  pattern: ['c = MatMul(x, V!)\na = Add(c, k!)\ny = MatMul(a, W!)', 'c = MatMul(x, V!)\ny = MatMul(c, W!)'],
  check(m) {
    const [V, W] = [constant(m.value('V'), 2), constant(m.value('W'), 2)];
    if (!V || !W || (m.has('k') && constant(m.value('k'), 1)?.size !== V.dims[1])) return TYPES;
    return pays(m.value('V'), m.value('W'), V.dims[0]! * W.dims[1]!, V.dims[1]!); // two axes
  },
  rewrite(m, b) {
    const [V, W] = [dataOf(m.value('V')), dataOf(m.value('W'))]; // check() made sure, of the dims too
    const [k, inner, n] = [V.dims[0]!, V.dims[1]!, W.dims[1]!];
    const one = b.op(
      'MatMul',
      [m.value('x'), b.constant(Tensor.f32(multiply(V.f64(), W.f64(), k, inner, n), [k, n]), m.value('V').name)],
      { name: m.node('c').name || 'MatMul' },
    );
    if (!m.has('k')) return one;
    return b.op(
      'Add',
      [one, b.constant(Tensor.f32(multiply(dataOf(m.value('k')).f64(), W.f64(), 1, inner, n)), m.value('k').name)],
      { name: m.node('a').name || 'Add' },
    );
  },
});

/** B of a plain Gemm as [k, n], whichever way it is stored; undefined with factors or a transposed x. */
function gemmWeights(
  node: Node,
): { readonly data: Float64Array; readonly dims: readonly [number, number] } | undefined {
  const W = constant(node.inputs[1] ?? null, 2);
  if (!W || node.float('alpha', 1) !== 1 || node.float('beta', 1) !== 1 || node.int('transA', 0)) return undefined;
  const [rows, columns] = [W.dims[0]!, W.dims[1]!]; // two axes
  const data = W.f64();
  if (!node.int('transB', 0)) return { data, dims: [rows, columns] };
  return {
    data: Float64Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!),
    dims: [columns, rows],
  };
}

/** Two Gemm in a row, without factors: weights B₁B₂, bias c₁·B₂ + c₂. Where B₁B₂ has no more elements than the two. */
export const fuseLinearGemm = rulePass({
  name: 'fuse-linear-gemm',
  doc: 'Merges two Gemm into one where that is smaller.',
  numerics: 'close',
  pattern: 'c = Gemm(x, V!, a?!)\ny = Gemm(c, W!, b?!)',
  check(m) {
    const [V, W] = [gemmWeights(m.node('c')), gemmWeights(m.node('y'))];
    const biases = [
      [m.optional('a'), V],
      [m.optional('b'), W],
    ] as const;
    if (!V || !W || biases.some(([v, w]) => v && constant(v, 1)?.size !== w?.dims[1]))
      return `${TYPES}, or Gemm has factors`;
    return pays(m.value('V'), m.value('W'), V.dims[0] * W.dims[1], V.dims[1]);
  },
  rewrite(m, b) {
    const [V, W] = [gemmWeights(m.node('c'))!, gemmWeights(m.node('y'))!]; // check() made sure
    const [k, inner, n] = [V.dims[0], V.dims[1], W.dims[1]];
    const [first, second] = [m.optional('a')?.data?.f64(), m.optional('b')?.data?.f64()];
    const inputs = [
      m.value('x'),
      b.constant(Tensor.f32(multiply(V.data, W.data, k, inner, n), [k, n]), m.value('V').name),
    ];
    if (first || second) {
      const moved = first ? multiply(first, W.data, 1, inner, n) : new Float64Array(n);
      inputs.push(
        b.constant(
          Tensor.f32(moved.map((v, i) => v + (second?.[i] ?? 0))),
          (m.optional('b') ?? m.optional('a'))?.name ?? 'bias',
        ),
      );
    }
    return b.op('Gemm', inputs, { name: m.node('c').name || 'Gemm' });
  },
});

/** Whether a convolution pads, and whether it is 1×1 with stride 1 and does not. */
const pads = (n: Node): boolean =>
  n.string('auto_pad', 'NOTSET') !== 'VALID' &&
  (n.string('auto_pad', 'NOTSET') !== 'NOTSET' || n.ints('pads', []).some((p) => p !== 0));
const pointwise = (n: Node, W: Tensor): boolean =>
  W.dims.slice(2).every((d) => d === 1) && n.ints('strides', []).every((s) => s === 1) && !pads(n);

/** The matrix of `size` elements that a kernel holds at position p; a 1×1 has the same one everywhere. */
function atPosition(weights: Float64Array, size: number, p: number): Float64Array {
  const positions = weights.length / size;
  return positions === 1 ? weights : Float64Array.from({ length: size }, (_, i) => weights[i * positions + p]!);
}

/**
 * Two convolutions of one group, one of them 1×1 with stride 1, are one with the kernel of the other: after a 1×1, the
 * kernel at each position is W₂[·,·,p]·W₁; before one, W₂·W₁[·,·,p]. A bias of a first 1×1 moves only where the second
 * does not pad, for zeros in the padding never saw the bias. Where the one has no more weights than the two.
 */
export const fuseLinearConv = rulePass({
  name: 'fuse-linear-conv',
  doc: 'Merges a 1×1 convolution and another without an activation between them where that is smaller.',
  numerics: 'close',
  pattern: 'c = Conv(x, V!, a?!)\ny = Conv(c, W!, b?!)',
  check(m) {
    const [V, W] = [m.value('V').data, m.value('W').data];
    const rank = V?.dims.length ?? 0;
    if (
      !V ||
      !W ||
      !constant(m.value('V'), rank) ||
      !constant(m.value('W'), rank) ||
      [m.optional('a'), m.optional('b')].some((v) => v && !constant(v, 1))
    )
      return TYPES;
    if (m.node('c').int('group', 1) !== 1 || m.node('y').int('group', 1) !== 1) return 'it has groups';
    const [first, second] = [pointwise(m.node('c'), V), pointwise(m.node('y'), W)];
    if (!first && !second) return 'neither is 1×1 with stride 1';
    if (!second && m.optional('a') && pads(m.node('y')))
      return 'the second pads what the bias of the first was added to';
    const positions = product((second ? V : W).dims.slice(2));
    return pays(m.value('V'), m.value('W'), V.dims[1]! * W.dims[0]! * positions, V.dims[0]!);
  },
  rewrite(m, b) {
    const [V, W] = [dataOf(m.value('V')), dataOf(m.value('W'))]; // check() made sure
    const keep = pointwise(m.node('y'), W) ? m.node('c') : m.node('y');
    const kernel = (keep === m.node('c') ? V : W).dims.slice(2);
    const [inputs, inner, outputs, positions] = [V.dims[1]!, V.dims[0]!, W.dims[0]!, product(kernel)];
    const weights = new Float32Array(outputs * inputs * positions);
    const [v, w] = [V.f64(), W.f64()];
    for (let p = 0; p < positions; p++) {
      const merged = multiply(
        atPosition(w, outputs * inner, p),
        atPosition(v, inner * inputs, p),
        outputs,
        inner,
        inputs,
      );
      for (let i = 0; i < merged.length; i++) weights[i * positions + p] = merged[i]!;
    }
    const made = [
      m.value('x'),
      b.constant(Tensor.f32(weights, [outputs, inputs, ...kernel]), m.value(keep === m.node('c') ? 'V' : 'W').name),
    ];
    const [first, second] = [m.optional('a')?.data?.f64(), m.optional('b')?.data?.f64()];
    if (first || second) {
      const bias = Float32Array.from({ length: outputs }, (_, o) => {
        let sum = second?.[o] ?? 0;
        if (first)
          for (let i = 0; i < inner; i++)
            for (let p = 0, n = w.length / (outputs * inner); p < n; p++)
              sum += w[(o * inner + i) * n + p]! * first[i]!;
        return sum;
      });
      made.push(b.constant(Tensor.f32(bias), (m.optional('b') ?? m.optional('a'))?.name ?? 'bias'));
    }
    return b.op('Conv', made, { attrs: Object.fromEntries(keep.attrs), name: keep.name || 'Conv' });
  },
});
