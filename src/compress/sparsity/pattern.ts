/** Which weights of a matrix become zero, by scores: the lowest of those that compete. */
import { item } from '../../base/lists.js';

/** Of rows [rows, columns], whose columns are in the order in which kernels sum over them. */
export type Pattern =
  /** `zeros` of each `of` neighbours in a row; of fewer at its end, as many as that makes, rounded down. */
  | { readonly kind: 'ratio'; readonly zeros: number; readonly of: number }
  /** So many of each row, or of all. */
  | { readonly kind: 'share'; readonly share: number; readonly by: 'row' | 'layer' }
  /** Blocks of so many rows and columns, wholly; those at the edges are smaller. */
  | { readonly kind: 'blocks'; readonly share: number; readonly rows: number; readonly columns: number };

/** 1 for each weight that becomes zero. Of equal scores the first goes. */
export function zerosOf(scores: Float64Array, rows: number, columns: number, pattern: Pattern): Uint8Array {
  const gone = new Uint8Array(rows * columns);
  switch (pattern.kind) {
    case 'ratio':
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < columns; c += pattern.of) {
          const length = Math.min(pattern.of, columns - c);
          const from = r * columns + c;
          markLowest(scores, gone, from, length, Math.floor((pattern.zeros * length) / pattern.of));
        }
      return gone;
    case 'share': {
      const length = pattern.by === 'row' ? columns : rows * columns;
      const count = Math.round(pattern.share * length);
      for (let at = 0; at < gone.length; at += length) markLowest(scores, gone, at, length, count);
      return gone;
    }
    case 'blocks':
      markBlocks(scores, gone, rows, columns, pattern);
      return gone;
    default:
      return pattern satisfies never;
  }
}

/** So many things of the columns before `end` go: what is chosen piece by piece comes to the whole share. */
export function wantedUpTo(pattern: Pattern, rows: number, end: number): number {
  switch (pattern.kind) {
    case 'ratio':
      return 0; // each group has its own number
    case 'share':
      return Math.round(pattern.share * (pattern.by === 'row' ? end : rows * end));
    case 'blocks':
      return Math.round(pattern.share * Math.ceil(rows / pattern.rows) * Math.ceil(end / pattern.columns));
    default:
      return pattern satisfies never;
  }
}

/** How many things compete for {@link wantedUpTo}. */
export const competing = (pattern: Pattern, rows: number, columns: number): number =>
  pattern.kind === 'blocks'
    ? Math.ceil(rows / pattern.rows) * Math.ceil(columns / pattern.columns)
    : pattern.kind === 'share' && pattern.by === 'row'
      ? columns
      : rows * columns;

/** The pattern with another share; ratios stay what they are. */
export const withShare = (pattern: Pattern, share: number): Pattern =>
  pattern.kind === 'ratio' ? pattern : { ...pattern, share };

function markLowest(scores: Float64Array, gone: Uint8Array, from: number, length: number, count: number): void {
  if (count <= 0) return;
  const own = scores.subarray(from, from + length);
  const limit = item(own.slice().sort(), count - 1);
  let left = count;
  for (let i = 0; i < length; i++)
    if (item(own, i) < limit) {
      gone[from + i] = 1;
      left--;
    }
  for (let i = 0; i < length && left > 0; i++)
    if (own[i] === limit) {
      gone[from + i] = 1;
      left--;
    }
}

function markBlocks(
  scores: Float64Array,
  gone: Uint8Array,
  rows: number,
  columns: number,
  { share, rows: high, columns: wide }: Extract<Pattern, { kind: 'blocks' }>,
): void {
  const [down, across] = [Math.ceil(rows / high), Math.ceil(columns / wide)];
  const means = new Float64Array(down * across);
  const counts = new Float64Array(down * across);
  const blockOf = (at: number): number =>
    Math.floor(Math.floor(at / columns) / high) * across + Math.floor((at % columns) / wide);
  for (let at = 0; at < scores.length; at++) {
    const b = blockOf(at);
    means[b] = item(means, b) + item(scores, at);
    counts[b] = item(counts, b) + 1;
  }
  for (let b = 0; b < means.length; b++) means[b] = item(means, b) / item(counts, b);
  const chosen = new Uint8Array(means.length);
  markLowest(means, chosen, 0, means.length, Math.round(share * means.length));
  for (let at = 0; at < gone.length; at++) gone[at] = item(chosen, blockOf(at));
}
