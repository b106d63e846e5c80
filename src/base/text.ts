/** Text for people: names from models and files may hold anything, so they are made harmless before they are shown. */

/** Control characters and direction marks. Tab and line feed stay: excerpts and model text are made of lines. */
const HARMFUL =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]/gu;

/**
 * `text` with control characters and direction marks as escapes (`\x1b`, `\u202e`), so that it cannot drive a terminal
 * or reorder a line.
 */
export const printable = (text: string): string =>
  text.replace(HARMFUL, (c) => (c.charCodeAt(0) < 256 ? `\\x${hex(c, 2)}` : `\\u${hex(c, 4)}`));
/** The same with escapes that JSON has too (`\u001b`): text that holds JSON stays JSON. */
export const printableJson = (text: string): string => text.replace(HARMFUL, (c) => `\\u${hex(c, 4)}`);
const hex = (c: string, digits: number): string => c.charCodeAt(0).toString(16).padStart(digits, '0');
/** As {@link printable}, on one line. */
export const oneLine = (text: string): string => printable(text).replace(/\n/g, '\\n').replace(/\t/g, '\\t');

/** Bytes in the unit that leaves 1 to 999: 1.23 MB. Decimal units, as file managers use. */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let at = 0;
  let n = bytes;
  while (n >= 999.5 && at < units.length - 1) {
    n /= 1000;
    at++;
  }
  return `${at === 0 ? n : n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2)} ${units[at]}`;
}
/** 1234567 → 1.23 M. */
export function countText(n: number): string {
  if (n < 1e4) return String(n);
  return n < 999.5e3
    ? `${(n / 1e3).toFixed(1)} k`
    : n < 999.5e6
      ? `${(n / 1e6).toFixed(2)} M`
      : `${(n / 1e9).toFixed(2)} G`;
}
export const secondsText = (ms: number): string =>
  ms < 9950
    ? `${(ms / 1000).toFixed(1)} s`
    : ms < 99500
      ? `${(ms / 1000).toFixed(0)} s`
      : `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;

/** JSON.stringify as it is: undefined where a value has no JSON (undefined, functions). */
export const jsonOf = (value: unknown, space?: number): string | undefined => JSON.stringify(value, null, space);
