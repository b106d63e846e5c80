/** Codes that a compressor makes little of: each costs its error and the bits that it takes among the others. */
import { item } from '../base/lists.js';
import { roundHalfEven } from '../scheme/rounding.js';

/** A weight as codes: value = (code − zeroPoint[part]) · scale[part]. */
export interface CodedValues {
  /** What the codes should come near. */
  readonly target: ArrayLike<number>;
  /** How much the squared error of each element counts. */
  readonly importance: ArrayLike<number>;
  /** Which scale each element has. */
  readonly part: Int32Array;
  readonly scale: ArrayLike<number>;
  readonly zeroPoint: ArrayLike<number>;
  readonly low: number;
  readonly high: number;
  /** Whether scales may grow. */
  readonly scales: boolean;
}

export interface CheapCodes {
  readonly codes: Int32Array;
  readonly scale: Float32Array;
  readonly zeroPoint: Int32Array;
  /** Σ importance · error². */
  readonly error: number;
  /** Of all codes, by how often each of them is there. */
  readonly bits: number;
}

/** Rounds in which codes are chosen by how often the codes of the round before were there. */
const ROUNDS = 6;
/** Steps are this share of what they would be if all codes were as likely as their neighbours. */
const STEP = 0.9;
const { fround } = Math;

/**
 * The codes with the least error + price · bits, as coordinate descent finds it: with a price, scales grow to the step
 * at which a finer one would cost more bits than it saves error, √(6·price ÷ (ln 2 · importance)), and each code is the
 * best of its neighbours and 0 by the bits that an entropy coder takes for it. Nothing changes at a price of 0 but that
 * codes are the nearest.
 * source: Chou, Lookabaugh and Gray 1989 (entropy-constrained vector quantization); the step: Gish and Pierce 1968
 */
export function cheapCodes(v: CodedValues, price: number): CheapCodes {
  const { scale, zeroPoint } = v.scales
    ? widened(v, price)
    : { scale: Float32Array.from(v.scale), zeroPoint: Int32Array.from(v.zeroPoint) };
  const at = { ...v, scale, zeroPoint };
  const codes = nearest(at);
  const first = v.low;
  const counts = new Float64Array(v.high - v.low + 1);
  const bits = new Float64Array(counts.length);
  for (let round = 0; price > 0 && round < ROUNDS; round++) {
    count(codes, first, counts);
    bitsOf(counts, codes.length, bits);
    if (!choose(at, codes, bits, price)) break;
  }
  count(codes, first, counts);
  return { codes, scale, zeroPoint, error: errorOf(at, codes), bits: entropy(counts, codes.length) };
}

/** Scales that are no finer than the price makes worth while, and zero points that keep zero on the grid. */
function widened(v: CodedValues, price: number): { scale: Float32Array; zeroPoint: Int32Array } {
  const parts = v.scale.length;
  const [weights, sizes] = [new Float64Array(parts), new Float64Array(parts)];
  for (let i = 0; i < v.part.length; i++) {
    const p = item(v.part, i); // every element has a part
    weights[p] = item(weights, p) + item(v.importance, i);
    sizes[p] = item(sizes, p) + 1;
  }
  const scale = Float32Array.from(v.scale);
  const zeroPoint = Int32Array.from(v.zeroPoint);
  for (let p = 0; p < parts; p++) {
    const mean = item(weights, p) / Math.max(1, item(sizes, p));
    const step = fround(STEP * Math.sqrt((6 * price) / (Math.LN2 * mean)));
    const size = Math.abs(item(scale, p));
    if (!(step > size) || !Number.isFinite(step)) continue;
    const zero = roundHalfEven((item(zeroPoint, p) * size) / step);
    zeroPoint[p] = Math.min(v.high, Math.max(v.low, zero));
    scale[p] = item(scale, p) < 0 ? -step : step;
  }
  return { scale, zeroPoint };
}

function nearest({ target, part, scale, zeroPoint, low, high }: CodedValues): Int32Array {
  const codes = new Int32Array(target.length);
  for (let i = 0; i < codes.length; i++) {
    const p = item(part, i); // every element has a part
    const x = item(target, i) / item(scale, p);
    codes[i] = Math.min(high, Math.max(low, roundHalfEven(Number.isNaN(x) ? 0 : x) + item(zeroPoint, p)));
  }
  return codes;
}

function count(codes: Int32Array, first: number, counts: Float64Array): void {
  counts.fill(0);
  for (let i = 0; i < codes.length; i++) counts[item(codes, i) - first] = item(counts, item(codes, i) - first) + 1; // codes are in range
}

/** −log2 of how often each code is there, about half a time more than it is. */
function bitsOf(counts: Float64Array, n: number, bits: Float64Array): void {
  const all = Math.log2(n + counts.length / 2);
  for (let k = 0; k < counts.length; k++) bits[k] = all - Math.log2(item(counts, k) + 0.5); // k < length
}

const entropy = (counts: Float64Array, n: number): number =>
  counts.reduce((sum, c) => (c > 0 ? sum - c * Math.log2(c / n) : sum), 0);

/** Gives whether some code changed. */
function choose(v: CodedValues, codes: Int32Array, bits: Float64Array, price: number): boolean {
  const { target, importance, part, scale, zeroPoint, low, high } = v;
  let moved = false;
  for (let i = 0; i < codes.length; i++) {
    const p = item(part, i); // every element has a part
    const [s, z] = [item(scale, p), item(zeroPoint, p)];
    const x = item(target, i) / s + z;
    if (!Number.isFinite(x)) continue;
    const weight = item(importance, i) * s * s;
    const down = Math.min(high, Math.max(low, Math.floor(x)));
    let best = item(codes, i);
    let least = weight * (x - best) * (x - best) + price * item(bits, best - low);
    // The two around it, one further towards zero, and zero.
    for (let k = 0; k < 4; k++) {
      const q = Math.min(high, k === 3 ? z : k === 2 ? (x > z ? down - 1 : down + 2) : down + k);
      if (q < low) continue;
      const cost = weight * (x - q) * (x - q) + price * item(bits, q - low); // in range
      if (cost < least) [best, least] = [q, cost];
    }
    if (best === codes[i]) continue;
    codes[i] = best;
    moved = true;
  }
  return moved;
}

function errorOf({ target, importance, part, scale, zeroPoint }: CodedValues, codes: ArrayLike<number>): number {
  let error = 0;
  for (let i = 0; i < codes.length; i++) {
    const p = item(part, i); // every element has a part
    const off = item(target, i) - (item(codes, i) - item(zeroPoint, p)) * item(scale, p);
    if (off - off === 0) error += item(importance, i) * off * off;
  }
  return error;
}
