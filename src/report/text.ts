/**
 * Numbers and names as people read them. Names come from models and data files, so they are hostile until shown through
 * here.
 */

const MINUS = '−';
const NONE = '–';
type Maybe = number | null | undefined;
/** Records that went through JSON have null for NaN and infinity. */
export const isNumber = (x: unknown): x is number => typeof x === 'number' && Number.isFinite(x);

const format = (digits: number): Intl.NumberFormat =>
  new Intl.NumberFormat('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
/** Made once: large reports have 10,000 numbers, and making a format takes longer than using it. */
const FORMATS: readonly Intl.NumberFormat[] = [0, 1, 2, 3, 4, 5, 6].map(format);

/** `digits` after the point, with thousands separators and a true minus. */
export function fixed(x: Maybe, digits: number): string {
  if (!isNumber(x)) return NONE;
  const text = (FORMATS[digits] ?? format(digits)).format(Math.abs(x));
  return x < 0 && /[1-9]/.test(text) ? MINUS + text : text;
}
/** As {@link fixed}, with + before what is above zero. */
export function signed(x: Maybe, digits: number): string {
  const text = fixed(x, digits);
  return isNumber(x) && x > 0 && /[1-9]/.test(text) ? `+${text}` : text;
}
export const count = (n: Maybe): string => fixed(n, 0);
/** A number as it is, such as a version or a seed. */
export const plain = (n: Maybe): string => (isNumber(n) ? String(n) : NONE);
/** A share 0…1 in per cent. */
export const percent = (share: Maybe, digits = 1): string =>
  isNumber(share) ? `${fixed(share * 100, digits)} %` : NONE;
/** Milliseconds with three digits that count. */
export const ms = (t: Maybe): string => (isNumber(t) ? `${fixed(t, t < 1 ? 3 : t < 100 ? 2 : 0)} ms` : NONE);
/** Decimal units, three digits that count: 1 MB is 1,000,000 bytes. */
export const bytes = (n: Maybe): string => scaled(n, [' B', ' kB', ' MB', ' GB', ' TB']);
export const big = (n: Maybe): string => scaled(n, ['', ' K', ' M', ' G', ' T']);
/** Four digits that count; very large and small numbers with an exponent. */
export function real(x: Maybe): string {
  if (!isNumber(x)) return NONE;
  if (x === 0) return '0';
  const size = Math.abs(x);
  const text = size >= 1e6 || size < 1e-4 ? size.toExponential(2) : String(Number(size.toPrecision(4)));
  return (x < 0 ? MINUS : '') + text.replace('e-', `e${MINUS}`).replace('e+', 'e');
}
/** `1 node`, `2 nodes`. */
export const many = (n: number, one: string, more = `${one}s`): string => `${count(n)} ${n === 1 ? one : more}`;

/** A rule about a drop as one about the change, which everything else tells: −1 points is a drop of 1 point. */
export function asChange<
  R extends {
    readonly sign?: -1 | 1 | undefined;
    readonly observed?: number | undefined;
    readonly limit?: number | undefined;
    readonly interval?: readonly [number, number] | undefined;
  },
>(r: R): R {
  const { sign, observed, limit, interval } = r;
  if (sign !== -1) return r;
  const turned = (x: number | undefined): number | undefined => (x === undefined ? x : 0 - x); // 0 − 0 is 0, −0 is not
  return {
    ...r,
    observed: turned(observed),
    limit: turned(limit),
    ...(interval ? { interval: [0 - interval[1], 0 - interval[0]] } : {}),
  };
}

/** The widest range over the channels. */
export function span(min: readonly number[] | undefined, max: readonly number[] | undefined): string {
  if (!min?.length || !max?.length) return '';
  return `${real(min.reduce((a, b) => Math.min(a, b)))} … ${real(max.reduce((a, b) => Math.max(a, b)))}`;
}
/** One value, or the smallest and largest of many. */
export function spread(values: readonly number[] | undefined): string {
  if (!values?.length) return '';
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  return low === high ? real(low) : `${real(low)} … ${real(high)} (${count(values.length)})`;
}

function scaled(n: Maybe, units: readonly string[]): string {
  if (!isNumber(n)) return NONE;
  let unit = 0;
  let value = n;
  while (Math.abs(value) >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  // unit stays below the length
  return fixed(value, !unit || Math.abs(value) >= 99.95 ? 0 : Math.abs(value) >= 9.995 ? 1 : 2) + item(units, unit);
}

/**
 * Everything that could deceive made visible, as ‹U+202E›: control characters, direction overrides, invisible ones.
 * Line ends and tabs stay.
 */
export const revealed = (s: string): string =>
  /^[\x20-\x7e]*$/.test(s)
    ? s
    : s.replace(/(?![\n\t])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu, codePoint);
const codePoint = (c: string): string => `‹U+${(c.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}›`;

/** A name on one line, as {@link revealed}; what is longer than `limit` loses its middle. */
export function visible(name: string, limit = 200): string {
  const shown = revealed(name).replace(/[\n\t]/g, codePoint);
  return shown.length <= limit
    ? shown
    : `${shown.slice(0, Math.ceil(limit / 2))}…${shown.slice(shown.length - Math.floor(limit / 2) + 1)}`;
}
/** Text of several lines, as {@link revealed}; what is longer than `limit` is cut off. */
export const visibleLines = (text: string, limit = 20_000): string =>
  revealed(clip(text, limit).replaceAll('\r\n', '\n'));

const clip = (text: string, limit: number): string =>
  text.length <= limit ? text : `${text.slice(0, limit)}\n… ${count(text.length - limit)} characters more`;

/** Plain JSON for showing; never throws. */
export function json(value: unknown): string {
  try {
    return value === undefined ? '' : JSON.stringify(value, null, 2);
  } catch {
    return '(cannot be shown)'; // cycles: records have none, but a report must not fail for one
  }
}
import { item } from '../base/lists.js';
