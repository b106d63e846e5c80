/** How good weights are on samples that were held back. */
import type { FitOptions, Score } from './fit.js';
import { item } from '../base/lists.js';
import { createRng, permutation } from '../base/rng.js';
import type { PackedSamples } from '../data/packed.js';
import type { Model } from '../ir/model.js';
import type { Tensor } from '../ir/tensor.js';
import { openModel } from '../runtime/open.js';
import { batchOf, type BatchSettings } from './batches.js';
import { withWeights } from './write-back.js';

/** Numbers of samples, those held back apart: which ones, the seed and their number say. */
export function heldBack(count: number, share: number, seed: number): { learn: Uint32Array; judge: Uint32Array } {
  const order = permutation(count, createRng(seed, 'validation'));
  const held = share > 0 ? Math.max(1, Math.round(share * count)) : 0;
  return { learn: order.slice(held).sort(), judge: order.slice(0, held).sort() };
}

/** Share of samples whose class is the output's largest element, in percent. */
export async function top1(
  model: Model,
  output: string,
  samples: PackedSamples,
  {
    indices,
    batch,
    threads,
  }: { readonly indices: ArrayLike<number>; readonly batch: number; readonly threads: number },
): Promise<number> {
  const session = await openModel(model, { threads, spinning: false, label: 'the model that is validated' });
  const fixed = session.inputs.some((i) => typeof i.shape?.[0] === 'number');
  let right = 0;
  try {
    for (let at = 0; at < indices.length; at += batch) {
      const rows = Array.from({ length: Math.min(batch, indices.length - at) }, (_, i) => item(indices, at + i));
      // A model that fixes its batch gets the last sample again.
      const fed = Array.from({ length: fixed ? batch : rows.length }, (_, i) => rows[i] ?? item(rows, rows.length - 1));
      const scores = (await session.run(samples.feed(fed), [output]))[output];
      const classes = (scores?.data.length ?? 0) / fed.length;
      rows.forEach((row, i) => {
        let best = 0;
        for (let c = 1; c < classes; c++)
          if (Number(scores?.data[i * classes + c]) > Number(scores?.data[i * classes + best])) best = c;
        if (best === samples.labels?.[row]) right++;
      });
    }
    return (100 * right) / indices.length;
  } finally {
    await session.close();
  }
}

/** The mean of a model's loss over whole batches, as they are without augmentation. */
export async function meanLoss(withLoss: Model, s: BatchSettings, threads: number): Promise<number> {
  const session = await openModel(withLoss, { threads, spinning: false, label: 'the loss that is validated' });
  let [sum, batches] = [0, 0];
  try {
    for (let at = 0; at + s.batch <= s.indices.length; at += s.batch) {
      const rows = Array.from({ length: s.batch }, (_, i) => item(s.indices, at + i));
      const { loss } = await session.run(batchOf({ ...s, augment: [] }, rows, 0), ['loss']);
      sum += Number(loss?.data[0]);
      batches++;
    }
    return sum / Math.max(1, batches);
  } finally {
    await session.close();
  }
}

export interface JudgeOptions {
  /** The model that is learned, and its output that gives classes, where samples have them. */
  readonly learner: Model;
  readonly classes: string | undefined;
  readonly withLoss: Model;
  /** Those held back, and how they are put together. */
  readonly settings: BatchSettings;
  readonly threads: number;
}

/** Top-1 where outputs are classes and samples have labels, else the loss. */
export function judgeBy(o: JudgeOptions): NonNullable<FitOptions['validate']> {
  const known = (weights: ReadonlyMap<string, Tensor>, model: Model): Map<string, Tensor> => {
    const names = new Set([...model.graph.initializers].map((v) => v.name));
    return new Map([...weights].filter(([name]) => names.has(name)));
  };
  return async (weights): Promise<Score> => {
    if (o.classes === undefined) {
      const value = await meanLoss(withWeights(o.withLoss, known(weights, o.withLoss)), o.settings, o.threads);
      return { name: 'loss', value, higherIsBetter: false };
    }
    const { samples, indices, batch } = o.settings;
    const model = withWeights(o.learner, known(weights, o.learner));
    const value = await top1(model, o.classes, samples, { indices, batch, threads: o.threads });
    return { name: 'top1', value, higherIsBetter: true };
  };
}
