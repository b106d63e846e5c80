import { integerRange } from '../ir/dtype.js';
import type { QuantParams, QuantScheme, Range } from './types.js';
export function codeRange(s: QuantScheme): readonly [number, number] {
  const [lo, hi] = integerRange(s.dtype)!;
  return s.narrow ? [lo + 1, hi] : [lo, hi];
}
const rhe = (x: number): number => { const f = Math.floor(x); const r = x - f; return r > 0.5 || (r === 0.5 && f % 2 !== 0) ? f + 1 : f; };
export function chooseParams(range: Range, scheme: QuantScheme): QuantParams {
  const n = range.min.length; const scale = new Float32Array(n); const zeroPoint = new Int32Array(n);
  let [lo, hi] = codeRange(scheme);
  if (scheme.symmetric && (scheme.dtype === 'int8' || scheme.dtype === 'int16')) lo = -hi;
  for (let i = 0; i < n; i++) {
    let a = Math.min(range.min[i]!, 0), b = Math.max(range.max[i]!, 0);
    if (scheme.symmetric) { const m = Math.max(-a, b); a = -m; b = m; }
    const s = (b - a) / (hi - lo);
    if (!(s > 1.1754943508222875e-38)) { scale[i] = 1; zeroPoint[i] = 0; continue; }
    scale[i] = s; zeroPoint[i] = scheme.symmetric ? rhe((lo + hi) / 2) : rhe(lo - a / s);
  }
  return { scheme, scale, zeroPoint };
}
