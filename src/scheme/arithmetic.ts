import { Tensor } from '../ir/tensor.js';
import { integerRange } from '../ir/dtype.js';
import type { QuantParams } from './types.js';
const rhe = (x: number): number => { const f = Math.floor(x); const r = x - f; return r > 0.5 || (r === 0.5 && f % 2 !== 0) ? f + 1 : f; };
export function quantize(values: Float32Array, dims: readonly number[], p: QuantParams): Tensor {
  const [lo, hi] = integerRange(p.scheme.dtype)!; const out = new Int32Array(values.length);
  const g = p.scheme.granularity; const axis = g.kind === 'axis' ? g.axis : 0;
  const inner = g.kind === 'axis' ? dims.slice(axis + 1).reduce((a, b) => a * b, 1) : values.length || 1; const C = p.scale.length;
  for (let i = 0; i < values.length; i++) { const c = Math.floor(i / inner) % C; out[i] = Math.min(hi, Math.max(lo, rhe(values[i]! / p.scale[c]!) + p.zeroPoint[c]!)); }
  return Tensor.codes(p.scheme.dtype, out, dims);
}
