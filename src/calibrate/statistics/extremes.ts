/** What all statistics share: exact extremes and counts, and their place in the serialized form. */
import { fail } from '../../base/errors.js';
import type { Range } from '../../scheme/types.js';
import type { Observation, TensorStats } from '../types.js';

export interface Extremes {
  count: number;
  minIsBound: boolean;
  readonly channels: number;
  readonly min: Float64Array;
  readonly max: Float64Array;
}

export const noExtremes = (channels: number): Extremes => ({
  channels,
  count: 0,
  minIsBound: false,
  min: new Float64Array(channels).fill(Infinity),
  max: new Float64Array(channels).fill(-Infinity),
});

/** Widens the extremes of `stats` by one batch. Throws CALIBRATION_CHANNELS where the number of channels changed. */
export function widen(stats: TensorStats, seen: Pick<Observation, 'min' | 'max' | 'count' | 'minIsBound'>): void {
  if (seen.min.length !== stats.channels)
    fail(
      'CALIBRATION_CHANNELS',
      `a tensor had ${stats.channels} channels and now has ${seen.min.length}`,
      {},
      'use per-tensor activations, or data of one shape',
    );
  for (let c = 0; c < stats.channels; c++) {
    if (seen.min[c]! < stats.min[c]!) stats.min[c] = seen.min[c]!;
    if (seen.max[c]! > stats.max[c]!) stats.max[c] = seen.max[c]!;
  }
  stats.count += seen.count;
  if (seen.minIsBound) stats.minIsBound = true;
}

export function mergeExtremes(a: TensorStats, b: TensorStats): Extremes {
  const merged = { ...noExtremes(a.channels), kind: a.kind };
  widen(merged, a);
  widen(merged, b);
  return merged;
}

/** The extremes as a range: [0, 0] where nothing was seen. */
export const extremeRange = ({ min, max }: TensorStats): Range => ({ min: finite(min), max: finite(max) });

/** A copy with 0 for what is not finite. In a plain loop: files have millions of blocks. */
function finite(bounds: Float64Array): Float64Array {
  const out = new Float64Array(bounds.length);
  for (let i = 0; i < out.length; i++) {
    const x = bounds[i]!;
    out[i] = x - x === 0 ? x : 0;
  }
  return out;
}

/** Writes numbers in order; read with {@link reader}. */
export function pack(format: number, stats: TensorStats, ...parts: readonly (number | Float64Array)[]): Uint8Array {
  const all = [format, stats.channels, stats.count, stats.minIsBound ? 1 : 0, stats.min, stats.max, ...parts];
  const out = new Float64Array(all.reduce<number>((n, p) => n + (typeof p === 'number' ? 1 : p.length), 0));
  let at = 0;
  for (const p of all) {
    if (typeof p === 'number') out[at++] = p;
    else {
      out.set(p, at);
      at += p.length;
    }
  }
  return new Uint8Array(out.buffer);
}

export interface Unpacked extends Extremes {
  number(): number;
  list(n: number): Float64Array;
  end(): void;
}

/** Reads what {@link pack} wrote. Throws DATA_FORMAT for another format or length. */
export function unpack(format: number, bytes: Uint8Array): Unpacked {
  const wrong = (): never => fail('DATA_FORMAT', `${bytes.length} bytes are not statistics of format ${format}`);
  if (bytes.length % 8 !== 0) wrong();
  // a copy, because a view may not start at a multiple of 8
  const numbers = new Float64Array(new Uint8Array(bytes).buffer);
  let at = 0;
  const list = (n: number): Float64Array => {
    if (!Number.isInteger(n) || n < 0 || at + n > numbers.length) wrong();
    at += n;
    return numbers.slice(at - n, at);
  };
  const number = (): number => list(1)[0]!;
  if (number() !== format) wrong();
  const channels = number();
  const count = number();
  const minIsBound = number() === 1;
  return {
    channels,
    count,
    minIsBound,
    min: list(channels),
    max: list(channels),
    number,
    list,
    end: () => {
      if (at !== numbers.length) wrong();
    },
  };
}
