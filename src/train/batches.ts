/** Batches of packed samples: shuffled, changed and put together by seed, epoch and sample alone. */
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import { createRng, permutation } from '../base/rng.js';
import type { Augmentation, ImageView } from '../data/augment/types.js';
import type { PackedSamples } from '../data/packed.js';
import type { Feed, FeedTensor, ValueInfo } from '../ir/feed.js';

/** One entry of a list of augmentations. */
export interface Augmenting {
  readonly augmentation: Augmentation;
  readonly options: unknown;
}
export interface BatchSettings {
  readonly samples: PackedSamples;
  /** Those that are learned from. */
  readonly indices: ArrayLike<number>;
  readonly batch: number;
  readonly seed: number;
  readonly augment?: readonly Augmenting[];
  /** The tensor that is an image, and its layout. Default: the first with four axes, by its sizes. */
  readonly image?: { readonly name: string; readonly layout: 'NCHW' | 'NHWC' };
  /** What the step is fed beside the weights: labels go to the input of that name, as its type and shape say. */
  readonly label?: ValueInfo;
}

/** All batches of an epoch from one on; see FitOptions.batches. */
export function batchesOf(s: BatchSettings): (epoch: number, from: number) => AsyncGenerator<Feed> {
  const whole = Math.floor(s.indices.length / s.batch);
  return async function* (epoch, from) {
    const order = permutation(s.indices.length, createRng(s.seed, `epoch ${epoch}`));
    for (let b = from; b < whole; b++) {
      const rows = Array.from(order.subarray(b * s.batch, (b + 1) * s.batch), (i) => item(s.indices, i));
      yield await Promise.resolve(batchOf(s, rows, epoch));
    }
  };
}

/** The feed of some samples as an epoch shows them. */
export function batchOf(s: BatchSettings, rows: readonly number[], epoch: number): Feed {
  const feed = s.samples.feed(rows);
  const mixes: (readonly [other: number, keep: number])[] = rows.map((row) => [row, 1]);
  if (s.augment?.length) {
    const { name, layout } = s.image ?? imageOf(feed);
    const images = imagesIn(feed[name], layout, name);
    rows.forEach((row, i) => {
      const mix = augmented(s, s.augment ?? [], item(images, i), row, epoch, { name, layout });
      if (mix) mixes[i] = mix;
    });
  }
  return s.label ? { ...feed, [s.label.name]: labelsOf(s, s.label, rows, mixes) } : feed;
}

/** Changes an image by a list; gives what sample it was mixed with, and the share that is left of it. */
function augmented(
  s: BatchSettings,
  list: readonly Augmenting[],
  image: ImageView,
  row: number,
  epoch: number,
  as: { readonly name: string; readonly layout: 'NCHW' | 'NHWC' },
): readonly [other: number, keep: number] | undefined {
  const rng = createRng(s.seed, `augment ${epoch} ${row}`);
  let mix: readonly [number, number] | undefined;
  list.forEach(({ augmentation, options }, at) => {
    if (!augmentation.mixes) {
      augmentation.apply(image, rng, options);
      return;
    }
    const other = item(s.indices, rng.int(s.indices.length));
    const [partner] = imagesIn(s.samples.feed([other])[as.name], as.layout, as.name);
    if (!partner) return;
    // As its own epoch shows it, but for further mixing: the result is the same whatever batch it is in.
    const before = list.slice(0, at).filter((a) => !a.augmentation.mixes);
    augmented(s, before, partner, other, epoch, as);
    augmentation.apply(image, rng, options, { image: partner, keep: (share) => (mix = [other, share]) });
  });
  return mix;
}

/** The first tensor with four axes, and its layout by its sizes. Throws DATA_SHAPE where there is none. */
export function imageOf(feed: Feed): { name: string; layout: 'NCHW' | 'NHWC' } {
  const found = Object.entries(feed).find(([, t]) => t.dims.length === 4);
  if (!found) return fail('DATA_SHAPE', 'augment changes images, and no input has four axes', {}, 'leave augment out');
  const [name, { dims }] = found;
  const [, first = 0, , last = 0] = dims;
  return { name, layout: first <= 4 || last > 4 ? 'NCHW' : 'NHWC' };
}

/** The images of a batch, each where it lies in the batch's data. Throws DATA_SHAPE where they are not float32. */
export function imagesIn(t: FeedTensor | undefined, layout: 'NCHW' | 'NHWC', name: string): ImageView[] {
  const [n = 0, a = 0, b = 0, c = 0] = t?.dims ?? [];
  const data = t?.data;
  if (!(data instanceof Float32Array))
    return fail('DATA_SHAPE', `augment changes float32 images, and '${name}' is ${t?.dtype ?? 'missing'}`, {
      tensor: name,
    });
  const [channels, height, width] = layout === 'NCHW' ? [a, b, c] : [c, a, b];
  const strides = layout === 'NCHW' ? { channelStride: b * c, pixelStride: 1 } : { channelStride: 1, pixelStride: c };
  const each = a * b * c;
  return Array.from({ length: n }, (_, i) => ({
    ...{ data: data.subarray(i * each, (i + 1) * each), channels, height, width },
    ...strides,
  }));
}

/** Labels as the loss takes them: indices, scores, or shares of classes. */
function labelsOf(
  s: BatchSettings,
  { name, dtype, shape }: ValueInfo,
  rows: readonly number[],
  mixes: readonly (readonly [other: number, keep: number])[],
): FeedTensor {
  const labels =
    s.samples.labels ??
    fail('DATA_LABEL', 'the loss needs labels, and the data have none', {}, 'use a teacher, or labels');
  const dims = (shape ?? []).map((d, axis) => (axis === 0 ? rows.length : typeof d === 'number' ? d : 1));
  const size = dims.reduce((n, d) => n * d, 1);
  const each = size / rows.length;
  const labelOf = (row: number): number => item(labels, row);
  if (dtype === 'int64')
    return { dtype, dims, data: BigInt64Array.from(rows, (row) => BigInt(classOf(labelOf(row), Infinity, s, row))) };
  const data = new Float32Array(size);
  rows.forEach((row, i) => {
    const [other, keep] = item(mixes, i);
    if (each === 1) {
      data[i] = keep * labelOf(row) + (1 - keep) * labelOf(other);
      return;
    }
    for (const [of, share] of [
      [row, keep],
      [other, 1 - keep],
    ] as const) {
      const at = i * each + classOf(labelOf(of), each, s, of);
      data[at] = (data[at] ?? 0) + share;
    }
  });
  if (dtype === 'float32') return { dtype, dims, data };
  return dtype === 'float64'
    ? { dtype, dims, data: Float64Array.from(data) }
    : fail('DATA_LABEL', `labels cannot be fed as ${dtype ?? 'an unknown type'}`, { tensor: name });
}
function classOf(label: number, classes: number, s: BatchSettings, row: number): number {
  if (Number.isInteger(label) && label >= 0 && label < classes) return label;
  const sample = item(s.samples.ids, row);
  return fail('DATA_LABEL', `'${sample}' has the label ${label}, which is none of ${classes} classes`, { sample });
}
