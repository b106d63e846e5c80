/** Seeded changes of images while they are learned from. */
import type { z } from 'zod';
import type { Rng } from '../../base/rng.js';

/** One image as the model takes it, in place: element (c, y, x) lies at c·channelStride + (y·width + x)·pixelStride. */
export interface ImageView {
  readonly data: Float32Array;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly channelStride: number;
  readonly pixelStride: number;
}

/** What a sample is mixed with. */
export interface Partner {
  /** Another sample of the data, changed by what stands before in the list. */
  readonly image: ImageView;
  /** Tells how much of the sample itself is left in its label, from 0 to 1. */
  keep(share: number): void;
}

export interface Augmentation<O = unknown> {
  readonly name: string;
  readonly doc: string;
  /** Strict zod object with a default and a description for each key. */
  readonly options: z.ZodType<O>;
  /** Whether it mixes a sample and its label with another one. */
  readonly mixes?: true;
  /**
   * Changes the image in place. All that is random comes from `rng`, which is the sample's own in each epoch: batches
   * and threads do not matter.
   */
  apply(image: ImageView, rng: Rng, options: O, partner?: Partner): void;
}
