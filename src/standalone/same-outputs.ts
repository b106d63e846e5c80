/** Whether two models are the same function, as far as random inputs tell. */
import { fail, QuantError, type Diagnostic } from '../base/errors.js';
import type { Feed, FeedTensor, ValueInfo } from '../ir/feed.js';
import type { Session } from '../runtime/session.js';
import { randomFeed } from '../pipeline/feeds.js';

/**
 * How far outputs may lie apart, relative to the largest magnitude in the output; float32 rounding leaves 100 times
 * less.
 */
export const TOLERANCE = 1e-5;
/** Sizes tried for axes that the model leaves open: not every model runs at each. */
const OPEN_SIZES = [2, 1, 5, 16, 32, 224] as const;
const FEEDS = 2;
/** Values of inputs tried beyond random ones, so that the branches behind them are compared too. */
const MAX_CHOICES = 8;

export interface Agreement {
  /** Random inputs on which both ran. */
  readonly feeds: number;
  /** The largest difference of an element, relative to the largest magnitude in its output. */
  readonly error: number;
}

/** What to compare, and how to tell of it. */
export interface Comparison {
  readonly file: string;
  /** What is known of the inputs. Default: what the runtime tells of them. */
  readonly inputs?: readonly ValueInfo[] | undefined;
  /** Integers that inputs are compared with in the model, by input. */
  readonly choices: ReadonlyMap<string, readonly number[]>;
  readonly report?: ((d: Diagnostic) => void) | undefined;
}

/**
 * Runs both models on seeded random inputs, and on some with an input at a value that the model compares it with.
 * Throws OPTIMIZE_VERIFY where outputs differ or the second model does not run, MODEL_RUNTIME where the first runs on
 * none of them. A model that disagrees with itself draws random numbers: then a warning takes the place of the
 * comparison.
 */
export async function compareOnRandomFeeds(
  original: Session,
  optimized: Session,
  { file, inputs = original.inputs, choices, report }: Comparison,
): Promise<Agreement> {
  const open = inputs.some((v) => v.shape === undefined || v.shape.some((d) => typeof d !== 'number'));
  const chosen = [...choices]
    .flatMap(([name, values]) => values.map((value) => ({ name, value })))
    .slice(0, MAX_CHOICES);
  let feeds = 0;
  let error = 0;
  let refused: QuantError | undefined;
  for (const choice of [undefined, ...chosen]) {
    const wanted = choice ? 1 : FEEDS;
    let ran = 0;
    for (const [seed, size] of OPEN_SIZES.entries()) {
      if (ran === wanted || (!open && seed >= wanted)) break;
      const feed = randomFeed(inputs, seed, size);
      if (choice) fill(feed[choice.name], choice.value);
      let expected: Feed;
      try {
        expected = await original.run(feed);
      } catch (e) {
        if (!(e instanceof QuantError)) throw e;
        refused ??= e;
        continue;
      }
      const actual = await optimized
        .run(feed)
        .catch((cause: unknown) =>
          fail(
            'OPTIMIZE_VERIFY',
            `the optimized model does not run: ${(cause as Error).message}`,
            { file },
            HINT,
            cause,
          ),
        ); // session errors are Errors
      const found = difference(expected, actual);
      if (found.error > TOLERANCE) {
        const again = difference(expected, await original.run(feed));
        if (again.error <= TOLERANCE)
          fail(
            'OPTIMIZE_VERIFY',
            `output '${found.output}' of the optimized model differs by ${found.error.toExponential(1)} of its ` +
              `largest magnitude, more than ${TOLERANCE}`,
            { file, tensor: found.output },
            HINT,
          );
        report?.({
          severity: 'warning',
          code: 'OUTPUTS_RANDOM',
          message: `output '${again.output}' of the original is different each time: outputs cannot be compared`,
        });
        return { feeds: 0, error: 0 };
      }
      ran++;
      error = Math.max(error, found.error);
    }
    feeds += ran;
  }
  if (feeds === 0)
    fail(
      'MODEL_RUNTIME',
      `the original model runs on no random input, so that outputs cannot be compared: ${refused?.message ?? ''}`,
      { file },
      undefined,
      refused,
    );
  return { feeds, error };
}

function fill(t: FeedTensor | undefined, value: number): void {
  if (t?.data instanceof BigInt64Array) t.data.fill(BigInt(value));
  else if (t?.data instanceof Int32Array) t.data.fill(value);
}

const HINT =
  'nothing was written; this is a bug in quantbench: please report it with the model. --skip leaves passes out';

/**
 * The largest difference between outputs of one name, relative to the output's largest magnitude; integers and texts
 * must be equal.
 */
export function difference(a: Feed, b: Feed): { readonly error: number; readonly output: string } {
  let worst = { error: 0, output: '' };
  for (const [output, x] of Object.entries(a)) {
    const y = b[output];
    const error = y ? tensorDifference(x, y) : Infinity;
    if (error > worst.error) worst = { error, output };
  }
  return worst;
}

function tensorDifference(x: FeedTensor, y: FeedTensor): number {
  if (x.dtype !== y.dtype || x.dims.length !== y.dims.length || x.dims.some((d, i) => d !== y.dims[i])) return Infinity;
  if (x.dtype !== 'float32' && x.dtype !== 'float64')
    // codes, bits of float16 and texts compare as they are
    return Array.from(x.data as ArrayLike<unknown>).every((v, i) => v === y.data[i]) ? 0 : Infinity;
  const [p, q] = [x.data as Float32Array, y.data as Float32Array]; // float64 arrays read the same way
  let [largest, apart] = [0, 0];
  for (let i = 0; i < p.length; i++) {
    const [u, v] = [p[i]!, q[i]!];
    if (u === v || (Number.isNaN(u) && Number.isNaN(v))) {
      if (Number.isFinite(u)) largest = Math.max(largest, Math.abs(u));
      continue;
    }
    if (!Number.isFinite(u) || !Number.isFinite(v)) return Infinity;
    largest = Math.max(largest, Math.abs(u));
    apart = Math.max(apart, Math.abs(u - v));
  }
  return apart === 0 ? 0 : apart / (largest || 1);
}
