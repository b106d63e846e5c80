/** How far outputs are from the float model's: the yardstick of the sensitivity analysis. */
import { classOutput } from '../evaluate/agreement.js';
import { divergence, LEAST_LOG, logProbabilities } from '../evaluate/probabilities.js';
import { numbersOf } from '../evaluate/tensors.js';
import { isFloat } from '../ir/dtype.js';
import type { Feed, FeedTensor, ValueInfo } from '../ir/feed.js';
import { realLength, type RowCount } from '../calibrate/rows.js';

/** The score of outputs that hold NaN or infinity where the float model's do not: worse than any other. */
export const BROKEN = 1e6;
/** What the kept float outputs may take. */
const KEPT_BYTES = 256 * 2 ** 20;

/** What is asked for of outputs that hold class scores; `loss` needs labels. */
export type ScoreMeasure = 'kl' | 'loss';
/** {@link ScoreMeasure} where an output holds class scores, else `error`. */
export interface Yardstick {
  readonly measure: ScoreMeasure | 'error';
  readonly outputs: readonly string[];
}

/**
 * Which outputs to compare, and how. Class scores are [batch, classes] of one feed a sample: two feeds make a pair of
 * embeddings. Otherwise every float output counts, or every output where none is float.
 */
export function yardstickOf(
  outputs: readonly ValueInfo[],
  feedsPerSample: number,
  first: Feed,
  asked: ScoreMeasure = 'kl',
): Yardstick {
  const scores = feedsPerSample === 1 ? classOutput(outputs) : undefined;
  if (scores && (first[scores.name]?.dims[1] ?? 0) > 1) return { measure: asked, outputs: [scores.name] };
  const floats = outputs.filter((o) => o.dtype && isFloat(o.dtype));
  return { measure: 'error', outputs: (floats.length ? floats : outputs).map((o) => o.name) };
}

/** Values of one output for one feed: rows that hold samples only, every `step`-th element. */
export interface Kept {
  readonly values: Float64Array | Float32Array;
  readonly step: number;
  readonly dims: readonly number[];
}

/**
 * What is kept of one run of the float model, by output; outputs without numbers are left out. `runs` is how many there
 * will be.
 */
export function keepOutputs(
  outputs: Feed,
  y: Yardstick,
  rows: RowCount,
  runs: number,
  keptBytes: number = KEPT_BYTES,
): Map<string, Kept> {
  const kept = new Map<string, Kept>();
  for (const name of y.outputs) {
    const real = realPart(outputs[name], rows);
    if (!real) continue;
    const budget = keptBytes / (4 * runs * y.outputs.length);
    const step = y.measure !== 'error' ? 1 : Math.max(1, Math.ceil(real.values.length / budget));
    kept.set(name, { values: every(real.values, step), step, dims: real.dims });
  }
  return kept;
}

/** Adds up one number over all runs of a model. */
export class Distance {
  readonly #y: Yardstick;
  readonly #sums = new Map<string, { error: number; float: number }>();
  #divergence = 0;
  #rows = 0;
  #broken = false;
  constructor(y: Yardstick) {
    this.#y = y;
  }

  /** `labels`: the class of each row, for `loss`; rows without one do not count. */
  add(
    outputs: Feed,
    kept: ReadonlyMap<string, Kept>,
    rows: RowCount,
    labels: readonly (number | undefined)[] = [],
  ): void {
    for (const [name, float] of kept) {
      const real = realPart(outputs[name], rows);
      if (!real || real.dims.length !== float.dims.length || real.dims.some((d, i) => d !== float.dims[i])) {
        this.#broken = true;
        continue;
      }
      if (this.#y.measure !== 'error') this.#addRows(float.values, real.values, float.dims[1] ?? 1, labels);
      else this.#addErrors(name, float, real.values);
    }
  }

  /**
   * In nats for `kl` and `loss`; Σ error² ÷ Σ float², the mean of the outputs, for `error`. Always finite; only `loss`
   * may be below 0.
   */
  score(): number {
    if (this.#broken) return BROKEN;
    if (this.#y.measure === 'loss') return this.#rows ? Math.min(BROKEN, this.#divergence / this.#rows) : 0;
    if (this.#y.measure === 'kl') return this.#rows ? Math.min(BROKEN, Math.max(0, this.#divergence / this.#rows)) : 0;
    const ratios = [...this.#sums.values()].map(({ error, float }) =>
      error === 0 ? 0 : float > 0 ? error / float : 1,
    );
    return ratios.length ? Math.min(BROKEN, ratios.reduce((a, b) => a + b, 0) / ratios.length) : 0;
  }

  #addRows(
    float: ArrayLike<number>,
    other: ArrayLike<number>,
    classes: number,
    labels: readonly (number | undefined)[],
  ): void {
    if (classes < 1) return; // a run without classes has no answer to compare
    const p = new Float64Array(classes);
    const q = new Float64Array(classes);
    for (let at = 0; at + classes <= float.length; at += classes) {
      if (!logProbabilities(float, at, p)) continue; // the float model itself has no answer here
      if (!logProbabilities(other, at, q)) {
        this.#broken = true;
        continue;
      }
      if (this.#y.measure === 'loss') {
        const label = labels[at / classes];
        if (label === undefined || !(label in p)) continue;
        // how much the cross-entropy rose
        this.#divergence += Math.max(p[label]!, LEAST_LOG) - Math.max(q[label]!, LEAST_LOG);
      } else this.#divergence += divergence(p, q);
      this.#rows++;
    }
  }

  #addErrors(name: string, float: Kept, other: ArrayLike<number>): void {
    const sums = this.#sums.get(name) ?? { error: 0, float: 0 };
    this.#sums.set(name, sums);
    const f = float.values;
    for (let i = 0, at = 0; i < f.length; i++, at += float.step) {
      const x = f[i]!;
      if (!Number.isFinite(x)) continue;
      const error = other[at]! - x;
      if (!Number.isFinite(error)) {
        this.#broken = true;
        continue;
      }
      sums.error += error * error;
      sums.float += x * x;
    }
  }
}

/** The elements and shape of the rows that hold samples. */
function realPart(
  t: FeedTensor | undefined,
  rows: RowCount,
): { values: ArrayLike<number>; dims: readonly number[] } | undefined {
  const all = t && numbersOf(t);
  if (!t || !all) return undefined;
  const length = t.dims.length ? realLength(t.dims[0]!, rows) : 1; // a tensor of rank 1 or more has a first axis
  if (!t.dims.length || length === t.dims[0]) return { values: all, dims: t.dims };
  const each = t.dims.slice(1).reduce((n, d) => n * d, 1);
  const values: ArrayLike<number> = ArrayBuffer.isView(all)
    ? (all as Float32Array).subarray(0, length * each)
    : Array.from(all).slice(0, length * each); // numbersOf gives number arrays; any has subarray
  return { values, dims: [length, ...t.dims.slice(1)] };
}

/** A copy, since the runtime's buffer is large and may be shared. */
function every(values: ArrayLike<number>, step: number): Float32Array | Float64Array {
  const n = Math.ceil(values.length / step);
  const out = values instanceof Float32Array ? new Float32Array(n) : new Float64Array(n);
  for (let i = 0; i < n; i++) out[i] = values[i * step]!;
  return out;
}
