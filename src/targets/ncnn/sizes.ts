/** Sizes as ncnn has them: without the batch axis, width innermost, 4 axes at most. */
import { filled, item } from '../../base/lists.js';
import type { Edge } from '../shared/layers.js';
import { int, type NcnnNet, type Settings } from './file.js';

/** [1, 3, 32, 32] → [3, 32, 32]; a reason where there is no batch of one, or too many axes. */
export function ownSizes({ name, shape }: Edge): readonly number[] | string {
  if (shape.length && shape[0] !== 1) return `'${name}' does not begin with a batch axis of one sample`;
  if (shape.length > 5) return `'${name}' has ${shape.length} axes, where 5 is the most`;
  return shape.length > 1 ? shape.slice(1) : [1];
}
/** Of an edge that is known to have them. */
export const sizesOf = (edge: Edge): readonly number[] => {
  const sizes = ownSizes(edge);
  return typeof sizes === 'string' ? [] : sizes;
};

/** Settings of Input and Reshape: [c, h, w], [c, d, h, w], [h, w] or [w]. */
export function sizeSettings(sizes: readonly number[]): Settings {
  const ids = [[0], [1, 0], [2, 1, 0], [2, 11, 1, 0]][sizes.length - 1] ?? [];
  return Object.fromEntries(ids.map((id, i) => [id, int(item(sizes, i))]));
}
/** Settings of MemoryData, which also says that plain float32 follows. */
export const dataSettings = (sizes: readonly number[]): Settings => ({ ...sizeSettings(sizes), 21: int(1) });

export const same = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);

/** The blob in other sizes of the same number of elements. */
export const reshaped = (
  net: NcnnNet,
  blob: string,
  from: readonly number[],
  to: readonly number[],
  name: string,
): string => (same(from, to) ? blob : net.add('Reshape', name, [blob], sizeSettings(to)));

/** A blob of an operand with `rank` axes, ones before its own: constants are put into the file. */
export function operand(net: NcnnNet, edge: Edge, rank: number): string {
  if (!edge.data) {
    const own = sizesOf(edge);
    return reshaped(net, net.blob(edge), own, padded(own, rank), `${edge.name}_reshaped`);
  }
  const { dims } = edge.data;
  const own = dims.length > rank && dims[0] === 1 ? dims.slice(1) : dims;
  const blob = net.add('MemoryData', edge.name, [], dataSettings(padded(own.length ? own : [1], rank)));
  net.floats(edge.data.f32());
  return blob;
}
/** Why a constant cannot be an operand of `rank` axes. */
export function operandRefused(edge: Edge, rank: number): string | undefined {
  const dims = filled([edge.data?.dims ?? edge.shape], 0);
  const own = dims.length > rank && dims[0] === 1 ? dims.slice(1) : dims;
  return edge.data && own.length > rank ? `the constant '${edge.name}' differs from sample to sample` : undefined;
}
const padded = (sizes: readonly number[], rank: number): readonly number[] => [
  ...new Array<number>(Math.max(0, rank - sizes.length)).fill(1),
  ...sizes,
];
