/** Errors of the parts of an output that mixes scales, such as boxes of 0 to 320 beside scores of 0 to 1. */
import type { OutputFacts } from '../record/index.js';

/** Neighbours whose root mean squares differ by this factor belong to different parts. */
const APART = 16;
/** More parts than a detector's head has are no parts, but channels that are what they are. */
const MOST_PARTS = 4;
/** Axes longer than this are positions, not channels. */
const MOST_CHANNELS = 1024;

type Part = NonNullable<OutputFacts['parts']>[number];
interface Sums {
  readonly axis: number;
  readonly ff: Float64Array;
  readonly qq: Float64Array;
  readonly fq: Float64Array;
  readonly ee: Float64Array;
}

/** Sums by channel of outputs of three axes or more, for each axis but the first that may hold channels. */
export class PartMeter {
  #dims: readonly number[] | undefined;
  #sums: readonly Sums[] = [];

  /** Tensors of the same shape but for the batch; once the shape changes there are no parts. */
  add(dims: readonly number[], float: ArrayLike<number>, quantized: ArrayLike<number>): void {
    const rest = dims.slice(1);
    if (this.#dims === undefined) {
      this.#dims = rest;
      const channels =
        dims.length < 3 ? [] : rest.flatMap((n, i) => (n > 1 && n <= MOST_CHANNELS ? [[i + 1, n] as const] : []));
      const zeros = (n: number): Float64Array => new Float64Array(n);
      this.#sums = channels.map(([axis, n]) => ({ axis, ff: zeros(n), qq: zeros(n), fq: zeros(n), ee: zeros(n) }));
    }
    if (rest.length !== this.#dims.length || rest.some((d, i) => d !== this.#dims![i])) this.#sums = []; // set above
    for (const { axis, ff, qq, fq, ee } of this.#sums) {
      const channels = dims[axis]!; // one of its axes
      const inner = dims.slice(axis + 1).reduce((n, d) => n * d, 1);
      for (let i = 0, at = 0, c = 0; i < float.length; i++) {
        const [x, y] = [float[i]!, quantized[i]!];
        const e = x - y;
        if (Number.isFinite(e)) {
          ff[c]! += x * x;
          qq[c]! += y * y;
          fq[c]! += x * y;
          ee[c]! += e * e;
        }
        if (++at === inner) {
          at = 0;
          if (++c === channels) c = 0;
        }
      }
    }
  }

  /** The parts of the axis that has any, the noisiest first; undefined where the output is of one scale. */
  parts(): readonly Part[] | undefined {
    for (const s of this.#sums) {
      const runs = runsOf(s.ff);
      if (runs.length < 2 || runs.length > MOST_PARTS) continue;
      return runs
        .map(([from, to]) => partOf(s, from, to))
        .sort((a, b) => (a.sqnrDb ?? Infinity) - (b.sqnrDb ?? Infinity));
    }
    return undefined;
  }
}

/** Runs of neighbours of like energy, as [first, last]; channels without any go with those before them. */
function runsOf(energy: Float64Array): (readonly [number, number])[] {
  const starts = [0];
  let before = 0;
  for (let c = 0; c < energy.length; c++) {
    const now = energy[c]!;
    if (now === 0) continue;
    if (before > 0 && Math.max(now / before, before / now) >= APART ** 2) starts.push(c);
    before = now;
  }
  return starts.map((from, i) => [from, (starts[i + 1] ?? energy.length) - 1] as const);
}

function partOf({ axis, ff, qq, fq, ee }: Sums, from: number, to: number): Part {
  const sum = (x: Float64Array): number => x.subarray(from, to + 1).reduce((n, v) => n + v, 0);
  const [signal, other, products, noise] = [sum(ff), sum(qq), sum(fq), sum(ee)];
  const both = signal > 0 && other > 0;
  const cosine = both
    ? Math.max(-1, Math.min(1, products / (Math.sqrt(signal) * Math.sqrt(other))))
    : signal === other
      ? 1
      : 0;
  return { axis, from, to, cosine, ...(signal > 0 && noise > 0 ? { sqnrDb: 10 * Math.log10(signal / noise) } : {}) };
}
