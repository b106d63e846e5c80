/** From a measured value, its interval and a limit to a verdict with a sentence. */
import type { RuleResult, Verdict } from '../record/index.js';
import { normalQuantile } from '../evaluate/distributions.js';
import type { Interval } from '../evaluate/intervals.js';

export interface Measured {
  readonly rule: string;
  /** The measured fact as the beginning of a sentence: `top1 dropped by 0.1 points`. */
  readonly fact: string;
  /** Whether the limit is the most or the least that is allowed. */
  readonly bound: 'max' | 'min';
  readonly limit: number;
  readonly observed: number;
  /**
   * Of the observed value; `exact` where it has none because it does not vary; else why it is not known, or is not to
   * be trusted.
   */
  readonly interval: Interval | 'exact' | { readonly unknown: string };
  readonly confidence: number;
  readonly unit?: string;
  /** For a drop: sign × drop is the change of the metric, and its interval is told as that of the change. */
  readonly sign?: -1 | 1;
  readonly show: (value: number) => string;
  readonly samples?: number;
  /** The interval that this many samples would give. */
  readonly withSamples?: (n: number) => Interval | undefined;
  /** What a reader must know beside the numbers. */
  readonly notes?: readonly string[];
}

/** PASS where the worse end of the interval keeps the limit, FAIL where the better end does not, else undecided. */
export function ruleOf(m: Measured): RuleResult {
  const { limit, observed, interval, samples } = m;
  if (![limit, observed, ...(Array.isArray(interval) ? (interval as unknown as number[]) : [])].every(Number.isFinite))
    return notMeasured(m.rule, `${m.fact}, which is not a finite number`); // isArray tells the tuple from the other two
  const known = interval === 'exact' ? ([observed, observed] as const) : 'unknown' in interval ? undefined : interval;
  const verdict = known ? decide(m.bound, limit, known) : 'undecided';
  const needed =
    verdict === 'undecided' && known && samples !== undefined && m.withSamples
      ? samplesToDecide(samples, m.confidence, m.withSamples, m.bound, limit)
      : undefined;
  const { sign } = m;
  const what = sign === undefined ? '' : sign < 0 ? 'a drop of ' : 'a rise of ';
  const spread =
    interval === 'exact' || 'unknown' in interval
      ? ''
      : ` (${confidenceText(m.confidence)} interval ` +
        `${
          sign === undefined
            ? `${m.show(interval[0]).split(' ')[0] ?? ''} … ${m.show(interval[1])}`
            : changes(interval, sign, m.show)
        }${samples === undefined ? '' : `, ${samples} samples`})`;
  const open =
    verdict !== 'undecided'
      ? ''
      : interval !== 'exact' && 'unknown' in interval
        ? `: undecided, for ${interval.unknown}`
        : ': undecided, for the interval holds the ' +
          `limit${needed === undefined ? '' : `; about ${needed} samples would decide`}`;
  return {
    name: m.rule,
    verdict,
    bound: m.bound,
    limit,
    observed,
    text:
      `${m.fact}${spread}; ` +
      `${what}${m.bound === 'max' ? 'at most' : 'at least'} ${m.show(limit)} ` +
      `${m.bound === 'max' ? 'is allowed' : 'is asked for'}${open}${(m.notes ?? []).map((n) => `; ${n}`).join('')}`,
    ...(interval === 'exact' || 'unknown' in interval ? {} : { interval: [interval[0], interval[1]] }),
    ...(m.unit === undefined ? {} : { unit: m.unit }),
    ...(sign === undefined ? {} : { sign }),
    ...(samples === undefined ? {} : { samples }),
    ...(needed === undefined ? {} : { samplesNeeded: needed }),
  };
}

/** The interval of a drop as that of the change, with signs: `of the change −0.56 … +0.28 points`. */
function changes(drop: Interval, sign: -1 | 1, show: (value: number) => string): string {
  const [low, high] = sign < 0 ? [0 - drop[1], 0 - drop[0]] : drop; // 0 − 0 is 0, −0 is not
  const signed = (x: number): string => (x > 0 ? `+${show(x)}` : show(x));
  return `of the change ${signed(low).split(' ')[0] ?? ''} … ${signed(high)}`;
}

/** A rule about something that the record does not tell fails. */
export const notMeasured = (rule: string, why: string): RuleResult => ({
  name: rule,
  verdict: 'fail',
  text: `not measured: ${why}`,
});

function decide(bound: 'max' | 'min', limit: number, [low, high]: Interval): Verdict {
  if (bound === 'max') return high <= limit ? 'pass' : low > limit ? 'fail' : 'undecided';
  return low >= limit ? 'pass' : high < limit ? 'fail' : 'undecided';
}

const MOST_SAMPLES = 1e9;
/**
 * About how many samples decide with a chance of 80 %, if the rates that were seen are the true ones; undefined where
 * no number does, as when the observed value is the limit itself.
 */
function samplesToDecide(
  n: number,
  confidence: number,
  withSamples: (n: number) => Interval | undefined,
  bound: 'max' | 'min',
  limit: number,
): number | undefined {
  const decided = (count: number): boolean => {
    const i = withSamples(count);
    return i !== undefined && decide(bound, limit, i) !== 'undecided';
  };
  let most = 2 * n;
  while (!decided(most)) {
    most *= 2;
    if (most > MOST_SAMPLES) return undefined;
  }
  let least = most / 2;
  while (most / least > 1.02) {
    // two digits are given
    const middle = Math.sqrt(least * most);
    if (decided(middle)) most = middle;
    else least = middle;
  }
  const z = normalQuantile((1 + confidence) / 2);
  const power = ((z + normalQuantile(0.8)) / z) ** 2;
  const needed = most * power;
  const digits = 10 ** Math.max(0, Math.floor(Math.log10(needed)) - 1);
  return Math.ceil(needed / digits) * digits;
}

/** Such as 95 %. */
export const confidenceText = (confidence: number): string => `${Number((100 * confidence).toPrecision(6))} %`;
const MINUS = '−';
/** `digits` after the point, with a true minus. */
export const fixed = (x: number, digits: number): string => (x < 0 ? MINUS : '') + Math.abs(x).toFixed(digits);
/** Four digits that count. */
export const real = (x: number): string => (x < 0 ? MINUS : '') + String(Number(Math.abs(x).toPrecision(4)));
export const points = (x: number): string => `${fixed(x, 2)} points`;
export const percent = (share: number): string => `${fixed(100 * share, 2)} %`;

/** A ratio without an interval, of which `max` is allowed. */
export const ratioRule = (
  m: Pick<Measured, 'rule' | 'observed' | 'confidence' | 'fact' | 'notes'>,
  max: number,
): RuleResult =>
  ruleOf({ ...m, bound: 'max', limit: max, interval: 'exact', unit: '×', show: (x) => `${fixed(x, 3)} ×` });
