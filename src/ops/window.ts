/** Windows of convolutions and pools with all sizes known: auto_pad and ceil_mode become numbers. */
import { item } from '../base/lists.js';
import type { Node } from '../ir/graph.js';

/** One number for each spatial axis throughout. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Padding before and after the input. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** How far the last window reaches beyond that padding: only with ceil_mode it does. */
  readonly tail: readonly number[];
}

/** The window of a node that maps spatial sizes `input` to `output`: [32, 32] → [16, 16]. */
export function windowOf(
  node: Node,
  kernel: readonly number[],
  input: readonly number[],
  output: readonly number[],
): Window {
  const ones = kernel.map(() => 1);
  const strides = node.ints('strides', ones);
  const dilations = node.ints('dilations', ones);
  const mode = node.string('auto_pad', 'NOTSET');
  const same = mode === 'SAME_UPPER' || mode === 'SAME_LOWER';
  const pads = mode === 'VALID' ? [] : node.ints('pads', []);
  const slides = { kernel, strides, dilations };
  const total = kernel.map((_, i) => Math.max(0, reachOf(slides, i, item(output, i)) - item(input, i)));
  const before = kernel.map((_, i) => {
    const half = item(total, i) / 2;
    return same ? (mode === 'SAME_UPPER' ? Math.floor(half) : Math.ceil(half)) : (pads[i] ?? 0);
  });
  const after = kernel.map((_, i) => (same ? item(total, i) - item(before, i) : (pads[kernel.length + i] ?? 0)));
  const tail = kernel.map((_, i) => Math.max(0, item(total, i) - item(before, i) - item(after, i)));
  return { ...slides, before, after, tail };
}

/** Elements of axis i, padding included, that `count` steps of the window cover. */
export function reachOf(
  { kernel, strides, dilations }: Pick<Window, 'kernel' | 'strides' | 'dilations'>,
  i: number,
  count: number,
): number {
  return (count - 1) * (strides[i] ?? 1) + ((kernel[i] ?? 1) - 1) * (dilations[i] ?? 1) + 1;
}

/** The window of a pool over the whole map, without padding, is the map itself. */
export const coversMap = (w: Window, input: readonly number[]): boolean =>
  w.kernel.every((k, i) => k === input[i] && w.before[i] === 0 && w.after[i] === 0 && w.tail[i] === 0);

/**
 * By how many elements a mean pool divides at each position along one spatial axis: those of the input, and of the
 * padding where that counts; never those beyond the padding, and at least by one.
 */
export function countsAlong(w: Window, axis: number, input: number, output: number, padding: boolean): number[] {
  const [k, s, d] = [item(w.kernel, axis), item(w.strides, axis), item(w.dilations, axis)];
  const [b, a] = [item(w.before, axis), item(w.after, axis)];
  const [low, high] = padding ? [-b, input + a] : [0, input];
  return Array.from({ length: output }, (_, step) => {
    const places = Array.from({ length: k }, (_, i) => step * s - b + i * d);
    return Math.max(1, places.filter((at) => at >= low && at < high).length);
  });
}
