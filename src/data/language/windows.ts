/** Long sequences cut into windows of one length. */
import { fail } from '../../base/errors.js';

export interface Packing {
  /** Tokens of a window. */
  readonly length: number;
  /** Tokens from one window to the next; fewer than `length` give each token context from the window before. */
  readonly stride: number;
  /** Whether texts are joined to one sequence, or cut each by itself. */
  readonly join: boolean;
}
/** A window of a text, or of all of them joined. */
export interface Window {
  /** The text that it begins in. */
  readonly text: number;
  /** Which window of the sequence it is. */
  readonly part: number;
  readonly ids: ArrayLike<number>;
  /** Tokens at its beginning that are only context: an earlier window has them too. */
  readonly context: number;
}

/** Tokens that are held in memory at most, 4 bytes each. */
const MOST_TOKENS = 2 ** 27;

/**
 * The windows of texts in their order. Joined texts are parted by `separator`, where there is one, and what does not
 * fill the last window is left out; texts by themselves end with a shorter one. Throws DATA_MISSING where nothing fills
 * a window, DATA_UNSAFE beyond 2^27 tokens.
 */
export function windowsOf(
  texts: Iterable<ArrayLike<number>>,
  { length, stride, join }: Packing,
  separator: number | undefined,
): Window[] {
  const found: Window[] = [];
  let joined = new Int32Array(1 << 16);
  let size = 0;
  const starts: number[] = []; // of each text
  const cut = (
    ids: ArrayLike<number> & { subarray(from: number, to: number): Int32Array },
    text: (at: number) => number,
  ): void => {
    const whole = join ? ids.length - length : Math.max(0, ids.length - 1);
    for (let at = 0, part = 0; at <= whole; at += stride, part++) {
      const window = ids.subarray(at, Math.min(ids.length, at + length));
      const context = part ? length - stride : 0;
      if (part && window.length <= context) break; // nothing in it is new
      found.push({ text: text(at), part, ids: window, context });
    }
  };
  let k = 0;
  for (const ids of texts) {
    if (size + ids.length + 1 > MOST_TOKENS)
      fail('DATA_UNSAFE', `the texts have more than ${MOST_TOKENS} tokens`, {}, 'give a part of them');
    if (!join) cut(Int32Array.from(ids), () => k);
    else {
      starts.push(size);
      while (size + ids.length + 1 > joined.length) {
        const wider = new Int32Array(joined.length * 2);
        wider.set(joined);
        joined = wider;
      }
      joined.set(ids, size);
      size += ids.length;
      if (separator !== undefined) joined[size++] = separator;
    }
    k++;
  }
  if (join) {
    let text = 0;
    cut(joined.subarray(0, size), (at) => {
      while ((starts[text + 1] ?? Infinity) <= at) text++;
      return text;
    });
  }
  if (!found.length)
    fail(
      'DATA_MISSING',
      `${k} texts of ${size} tokens together fill no window of ${length}`,
      {},
      'give more text, or a smaller pack',
    );
  return found;
}
