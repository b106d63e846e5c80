/** Two additions, or two multiplications, of constants are one. */
import { dataOf } from '../ir/known.js';
import type { Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';

/** A broadcast of two constants is made only up to this size, or that of the larger one. */
const MAX_ELEMENTS = 1 << 12;
/** Products outside of this range may overflow, or lose bits, where the two steps did not. */
const SAFE = { low: 1e-30, high: 1e30 };
/** How much larger than their sum two terms may be: beyond it the sum cancels and loses what one step keeps. */
const CANCELLATION = 8;

/** (x · c) · d = x · (c · d). Refuses products near the ends of float32. */
export const mergeMultiplications = rulePass({
  name: 'merge-multiplications',
  doc: 'Merges two multiplications by constants into one.',
  numerics: 'close',
  pattern: 'a = Mul(p, q)\ny = Mul(a, d)',
  check: (m) =>
    mergeable(
      m,
      (c, d) =>
        c === 0 ||
        d === 0 ||
        (Math.abs(c * d) > SAFE.low && Math.abs(c * d) < SAFE.high) ||
        'their product is near the end of float32',
    ),
  rewrite: (m, b) =>
    b.op(
      'Mul',
      [
        inner(m).x,
        b.constant(
          combine(inner(m).c, m.value('d'), (c, d) => c * d),
          m.value('d').name,
        ),
      ],
      { name: m.node('y').name || 'Mul' },
    ),
});

/** (x + c) + d = x + (c + d). Refuses constants that cancel each other. */
export const mergeAdditions = rulePass({
  name: 'merge-additions',
  doc: 'Merges two additions of constants into one.',
  numerics: 'close',
  pattern: 'a = Add(p, q)\ny = Add(a, d)',
  check: (m) =>
    mergeable(m, (c, d) => Math.abs(c) + Math.abs(d) <= CANCELLATION * Math.abs(c + d) || 'they cancel each other'),
  rewrite: (m, b) =>
    b.op(
      'Add',
      [
        inner(m).x,
        b.constant(
          combine(inner(m).c, m.value('d'), (c, d) => c + d),
          m.value('d').name,
        ),
      ],
      { name: m.node('y').name || 'Add' },
    ),
});

/** The operand of the first node that is a constant, and the other; a pattern binds the operands in either order. */
function inner(m: Match): { readonly x: Value; readonly c: Value } {
  const [p, q] = [m.value('p'), m.value('q')];
  return q.isInitializer ? { x: p, c: q } : { x: q, c: p };
}

/** '' where the two do not both have a constant operand. */
function mergeable(m: Match, safe: (c: number, d: number) => true | string): true | string {
  const first = inner(m).c;
  const [c, d] = [first.data, m.value('d').data];
  if (!first.isInitializer || !c || !m.value('d').isInitializer || !d) return ''; // nothing to merge
  if (c.dtype !== 'float32' || d.dtype !== 'float32') return 'the type is not float32';
  const dims = broadcastDims(c.dims, d.dims);
  if (!dims) return 'the constants do not broadcast to each other';
  const size = dims.reduce((n, k) => n * k, 1);
  if (size > Math.max(MAX_ELEMENTS, c.size, d.size)) return 'the merged constant would be large';
  let verdict: true | string = true;
  combine(first, m.value('d'), (p, q) => {
    if (verdict === true) verdict = safe(p, q);
    return 0;
  });
  return verdict;
}

function broadcastDims(a: readonly number[], b: readonly number[]): number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const dims = Array.from({ length: rank }, (_, i) => {
    const [p, q] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1];
    return p === 1 ? q : q === 1 || q === p ? p : -1;
  });
  return dims.includes(-1) ? undefined : dims;
}

/** f of two float32 constants, broadcast as numpy does. */
function combine(a: Value, b: Value, f: (a: number, b: number) => number): Tensor {
  const [s, t] = [dataOf(a), dataOf(b)]; // both are constants
  const dims = broadcastDims(s.dims, t.dims)!; // mergeable() made sure
  const [x, y] = [s.f32(), t.f32()];
  const out = new Float32Array(dims.reduce((n, k) => n * k, 1));
  const steps = (own: readonly number[]): number[] => {
    const strides = new Array<number>(dims.length).fill(0);
    for (let i = own.length - 1, stride = 1; i >= 0; i--) {
      if (own[i] !== 1) strides[i + dims.length - own.length] = stride;
      stride *= own[i]!;
    }
    return strides;
  };
  const [p, q] = [steps(s.dims), steps(t.dims)];
  const index = new Array<number>(dims.length).fill(0);
  for (let i = 0, at = 0, bt = 0; i < out.length; i++) {
    out[i] = f(x[at]!, y[bt]!);
    for (let k = dims.length - 1; k >= 0; k--) {
      index[k]!++;
      at += p[k]!;
      bt += q[k]!;
      if (index[k]! < dims[k]!) break;
      at -= p[k]! * dims[k]!;
      bt -= q[k]! * dims[k]!;
      index[k] = 0;
    }
  }
  return Tensor.f32(out, dims);
}
