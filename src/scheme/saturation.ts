/**
 * Codes of int8 weights that cannot saturate where a kernel multiplies them with uint8 inputs and adds two products in
 * int16, as VPMADDUBSW does: x64 CPUs with AVX2 or AVX-512 but without VNNI.
 * source: onnxruntime/core/mlas/lib/qgemm_kernel_avx2.cpp;
 * https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-and-why-do-i-need-to-try-u8u8
 */
import { roundHalfEven } from './rounding.js';

/**
 * Two codes of one sign may add up to this: 255 · 128 fits int16, 255 · 129 does not. Codes of opposite signs always
 * fit.
 */
export const PAIR_LIMIT = 128;
/** Factors of the scale that are tried, from 1 to the one at which no pair has to give way. */
const STEPS = 16;
/** Most rounds of coordinate descent. */
const SWEEPS = 3;
/** At twice the scale, 8-bit codes become 7-bit ones, and no pair of these can saturate. */
const WIDEST = 2;
const { fround } = Math;

/** Whether two neighbouring codes can saturate. */
export const pairSaturates = (a: number, b: number): boolean => a * b > 0 && Math.abs(a + b) > PAIR_LIMIT;

/** Weights that share a scale: rows of `columns` values, each in the order in which a kernel takes them. */
export interface PackedRows {
  readonly values: Float64Array;
  readonly columns: number;
  readonly scale: number;
  readonly zeroPoint: number;
  readonly low: number;
  readonly high: number;
  /** How much the squared error of each column counts; all the same where left out. */
  readonly importance?: Float64Array | undefined;
  /** What the inputs of different columns have in common, where that is to count; then `importance` does not. */
  readonly alike?: Alike | undefined;
}
/**
 * The mean product of two inputs ÷ that of one with itself: what all have in common, because inputs have a mean, and
 * what those of one channel at several positions of a kernel have in common beyond it. Column i is of channel i %
 * channels.
 */
export interface Alike {
  readonly channels: number;
  readonly withinChannel: number;
  readonly overall: number;
}
export interface Unsaturated {
  readonly scale: number;
  readonly zeroPoint: number;
  readonly codes: Int32Array;
}

/**
 * Codes in which no pair of neighbours can saturate, with the least squared error over a range of scales, or undefined
 * where the nearest codes cannot saturate as they are. Scales up to `widest` times theirs are tried. A wider scale
 * costs every weight a little; at a narrower one, the pairs beyond the limit give way, each to the nearest two codes on
 * it, and where inputs are alike the rest of the row takes on what they gave up. A zero point other than 0 moves with
 * the scale, so that all codes come nearer to 0.
 */
export function unsaturatedCodes(rows: PackedRows, widest = WIDEST): Unsaturated | undefined {
  const most = widestPair(rows);
  if (most <= PAIR_LIMIT) return undefined;
  const codes = new Int32Array(rows.values.length);
  const found = { factor: widest, error: Infinity, codes: new Int32Array(rows.values.length) };
  const steps = rows.zeroPoint === 0 && widest > 1 ? STEPS : 0; // with another zero point, only the widest helps
  for (let i = 0; i < steps; i++) {
    const factor = 1 + ((Math.min(widest, most / PAIR_LIMIT) - 1) * i) / (steps - 1);
    const error = encode(rows, factor, codes);
    if (!(error < found.error)) continue;
    Object.assign(found, { factor, error });
    found.codes.set(codes);
  }
  if (found.error === Infinity) encode(rows, found.factor, found.codes);
  return { ...gridAt(rows, found.factor), codes: found.codes };
}

/** Least factor of a scale of 7 bits that is tried where kernels may take any two codes together. */
const NARROWEST = 0.7;
/** Codes up to here fit beside any other such code. */
const HALF_LIMIT = PAIR_LIMIT / 2;

/** The least and the greatest code that each element may take, where any two of a row meet. */
interface Caps {
  readonly low: Int32Array;
  readonly high: Int32Array;
}

/**
 * Codes of which no two of one row can saturate, in whatever order a kernel takes them: the largest of each sign may
 * lie beyond ±64 by what the next one leaves of the limit. Where inputs are alike, a row shares out what its codes
 * lose. `rows` have a scale of 7 bits; of those from there to {@link NARROWEST} times it, the one with the least error
 * is taken. With a zero point other than 0, that of 7 bits.
 */
export function anyPairCodes(rows: PackedRows): Unsaturated {
  const { values, columns } = rows;
  const codes = new Int32Array(values.length);
  const found = { factor: 1, error: Infinity, codes: new Int32Array(values.length) };
  const caps = { low: new Int32Array(values.length), high: new Int32Array(values.length) };
  const steps = rows.zeroPoint === 0 ? STEPS : 1;
  const finite = values.every(Number.isFinite);
  for (let i = 0; i < steps; i++) {
    const factor = 1 - ((1 - NARROWEST) * i) / (STEPS - 1);
    const { scale, zeroPoint } = gridAt(rows, factor);
    let error = 0;
    for (let start = 0; start < values.length; start += columns) {
      const end = start + columns;
      for (let at = start; at < end; at++) {
        const code = roundHalfEven(fround(values[at]! / scale)) + zeroPoint;
        codes[at] = Number.isNaN(code) ? zeroPoint : clip(code, -PAIR_LIMIT, PAIR_LIMIT - 1);
      }
      lowerBeside(codes, start, end, 1, caps.high);
      lowerBeside(codes, start, end, -1, caps.low);
      for (let at = start; at < end; at++) error += (values[at]! / scale + zeroPoint - codes[at]!) ** 2;
    }
    if (rows.alike && finite) error = shareOut(rows, { scale, zeroPoint }, codes, caps);
    error *= factor * factor;
    if (!(error < found.error) && i > 0) continue;
    Object.assign(found, { factor, error });
    found.codes.set(codes);
  }
  return { ...gridAt(rows, found.factor), codes: found.codes };
}

/** Brings codes of one sign down to the limit of any two of them, the largest last, and says how far each may go. */
function lowerBeside(codes: Int32Array, start: number, end: number, sign: number, caps: Int32Array): void {
  let [first, second] = [start, 0];
  for (let at = start; at < end; at++) if (sign * codes[at]! > sign * codes[first]!) first = at;
  for (let at = start; at < end; at++) {
    if (at === first) continue;
    if (sign * codes[at]! > HALF_LIMIT) codes[at] = sign * HALF_LIMIT;
    second = Math.max(second, sign * codes[at]!);
  }
  const most = Math.min(sign * codes[first]!, PAIR_LIMIT - second);
  codes[first] = sign * most;
  caps.fill(sign * Math.min(HALF_LIMIT, PAIR_LIMIT - most), start, end);
  caps[first] = sign * Math.max(HALF_LIMIT, most);
}

/** The codes at twice the scale, which cannot saturate whatever they are. */
export function halvedCodes(rows: PackedRows): Unsaturated {
  const codes = new Int32Array(rows.values.length);
  encode(rows, WIDEST, codes);
  return { ...gridAt(rows, WIDEST), codes };
}

/** The largest sum of two neighbours of one sign among the nearest codes. */
function widestPair({ values, columns, scale, zeroPoint, low, high }: PackedRows): number {
  let most = 0;
  for (let start = 0; start < values.length; start += columns) {
    for (let c = 0; c + 1 < columns; c += 2) {
      const a = clip(roundHalfEven(fround(values[start + c]! / scale)) + zeroPoint, low, high);
      const b = clip(roundHalfEven(fround(values[start + c + 1]! / scale)) + zeroPoint, low, high);
      if (a * b > 0) most = Math.max(most, Math.abs(a + b));
    }
  }
  return most;
}

const clip = (x: number, low: number, high: number): number => (x > high ? high : x > low ? x : low);
const gridAt = ({ scale, zeroPoint }: PackedRows, factor: number): { scale: number; zeroPoint: number } => ({
  scale: fround(scale * factor),
  zeroPoint: roundHalfEven(zeroPoint / factor),
});

/** Writes the codes at a scale that is wider by a factor, and gives their squared error in units of the first scale. */
function encode(rows: PackedRows, factor: number, codes: Int32Array): number {
  const { values, columns, low, high, importance } = rows;
  const { scale, zeroPoint } = gridAt(rows, factor);
  let error = 0;
  for (let start = 0; start < values.length; start += columns) {
    for (let c = 0; c < columns; c += 2) {
      const at = start + c;
      const weightA = importance?.[c] ?? 1;
      const exactA = values[at]! / scale + zeroPoint;
      let a = clip(roundHalfEven(fround(values[at]! / scale)) + zeroPoint, low, high);
      if (c + 1 < columns) {
        const weightB = importance?.[c + 1] ?? 1;
        const exactB = values[at + 1]! / scale + zeroPoint;
        let b = clip(roundHalfEven(fround(values[at + 1]! / scale)) + zeroPoint, low, high);
        if (pairSaturates(a, b)) [a, b] = nearestPair(exactA, exactB, weightA, weightB, a, b);
        codes[at + 1] = b;
        error += weightB * (exactB - b) ** 2;
      }
      codes[at] = a;
      error += weightA * (exactA - a) ** 2;
    }
  }
  return (rows.alike ? shareOut(rows, { scale, zeroPoint }, codes) : error) * factor * factor;
}

/**
 * Lets other weights of a row take on what pairs gave up: coordinate descent on the codes for a layer whose inputs are
 * alike, which keeps the limit of neighbours, or `caps`; weights that are zero stay zero. Gives the error,
 * Σ e² + withinChannel · Σ_channel (Σ e)² + overall · (Σ e)².
 */
function shareOut(
  rows: PackedRows,
  grid: { readonly scale: number; readonly zeroPoint: number },
  codes: Int32Array,
  caps?: Caps,
): number {
  const { values, columns, low, high } = rows;
  const { channels, withinChannel, overall } = rows.alike!; // the caller looked
  const ofChannel = new Float64Array(channels);
  const errors = new Float64Array(columns);
  const curvature = 1 + withinChannel + overall;
  // Below half a step a code stays, as most do: a little less, for what the division below would round.
  const still = 0.499 * curvature;
  let squares = 0;
  for (let start = 0; start < values.length; start += columns) {
    ofChannel.fill(0);
    let all = 0;
    for (let c = 0, channel = 0; c < columns; c++, channel = channel + 1 === channels ? 0 : channel + 1) {
      const error = codes[start + c]! - grid.zeroPoint - values[start + c]! / grid.scale;
      errors[c] = error;
      ofChannel[channel]! += error;
      all += error;
    }
    for (let sweep = 0, moved = true; sweep < SWEEPS && moved; sweep++) {
      moved = false;
      for (let c = 0, channel = 0; c < columns; c++, channel = channel + 1 === channels ? 0 : channel + 1) {
        const gradient = errors[c]! + withinChannel * ofChannel[channel]! + overall * all;
        if (gradient < still && gradient > -still) continue;
        if (values[start + c] === 0) continue; // what pruning made zero stays zero
        const code = codes[start + c]!;
        const mate = c % 2 === 0 ? c + 1 : c - 1;
        const wanted = clip(roundHalfEven(code - gradient / curvature), low, high);
        const next = caps
          ? clip(wanted, caps.low[start + c]!, caps.high[start + c]!)
          : mate < columns
            ? besidePair(wanted, codes[start + mate]!)
            : wanted;
        if (next === code) continue;
        const by = next - code;
        codes[start + c] = next;
        errors[c]! += by;
        ofChannel[channel]! += by;
        all += by;
        moved = true;
      }
    }
    for (let c = 0; c < columns; c++) squares += errors[c]! * errors[c]!;
    for (let c = 0; c < channels; c++) squares += withinChannel * ofChannel[c]! * ofChannel[c]!;
    squares += overall * all * all;
  }
  return squares;
}

/** A code as near as the one beside it allows. */
export const besidePair = (code: number, mate: number): number =>
  mate > 0 ? Math.min(code, PAIR_LIMIT - mate) : mate < 0 ? Math.max(code, -PAIR_LIMIT - mate) : code;

/**
 * The two codes on the limit that are nearest to the exact ones; neither is further from 0 than the nearest code of its
 * own.
 */
function nearestPair(
  exactA: number,
  exactB: number,
  weightA: number,
  weightB: number,
  a: number,
  b: number,
): [number, number] {
  const sign = a > 0 ? 1 : -1;
  const limit = sign * PAIR_LIMIT;
  const share = weightA + weightB > 0 ? weightB / (weightA + weightB) : 0.5;
  const ideal = exactA - (exactA + exactB - limit) * share;
  const [from, to] = sign > 0 ? [limit - b, a] : [a, limit - b]; // then the other is no further than b
  const first = roundHalfEven(clip(ideal, from, to));
  return [first, limit - first];
}
