/** Where training is, in a file: one that was killed goes on from there to the same weights. */
import path from 'node:path';
import { z } from 'zod';
import { fail } from '../base/errors.js';
import { readSealed, writeSealed, type Sealed } from '../base/sealed.js';
import { arrayOf } from '../data/feeds.js';
import { keptTensor } from '../data/kept-tensors.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import { elementCount } from '../ir/tensor.js';
import { toTensor } from '../runtime/open.js';

const score = z.strictObject({ name: z.string(), value: z.number(), higherIsBetter: z.boolean() });
const count = z.number().int().min(0);
const course = z.strictObject({
  steps: count,
  /** The epoch that the next step is of, and its batches that are done. */
  epoch: count,
  batch: count,
  seconds: z.number(),
  curve: z.array(
    z.strictObject({ step: count, loss: z.number(), rate: z.number(), metric: z.number().exactOptional() }),
  ),
  /** Losses since the last point of the curve. */
  window: z.strictObject({ sum: z.number(), count }),
  best: z.strictObject({ step: count, score }).optional(),
  /** Validations since the best. */
  stale: count,
  ended: z.enum(['steps', 'patience']).optional(),
});
/** What held-back samples say of weights. */
export interface Score {
  readonly name: string;
  readonly value: number;
  readonly higherIsBetter: boolean;
}
/** What training is at, but for tensors. */
export type Course = z.output<typeof course>;

const header = z.strictObject({
  key: z.string(),
  course,
  tensors: z.array(keptTensor.extend({ group: z.enum(['state', 'ema', 'best']), name: z.string() })),
});
type Group = z.output<typeof header>['tensors'][number]['group'];

export interface Checkpoint {
  readonly course: Course;
  /** Weights, running statistics and what the optimiser keeps; running means of weights; the best weights so far. */
  readonly state: Feed;
  readonly ema: Feed;
  readonly best: Feed;
}

const MAGIC = 'QBTRAIN1';
const GROUPS = ['state', 'ema', 'best'] as const satisfies readonly Group[];

/** The file in `folder` for one key: a hash of all that the weights depend on. */
export const checkpointFile = (folder: string, key: string): string => path.join(folder, `${key.slice(0, 32)}.qbtrain`);

/** Whole or not at all, whenever the process ends. Throws OUTPUT_WRITE. */
export function saveCheckpoint(file: string, key: string, made: Checkpoint): void {
  const all = GROUPS.flatMap((group) => Object.entries(made[group]).map(([name, t]) => ({ group, name, t })));
  const tensors = all.map(({ group, name, t }) => ({ group, name, dtype: t.dtype, dims: [...t.dims] }));
  const parts = all.map(({ t }) => toTensor(t).bytes());
  writeSealed(file, MAGIC, { key, course: made.course, tensors }, parts);
}

/**
 * What was saved for this key; undefined where there is no file. Throws TRAIN_CHECKPOINT for a file that is damaged or
 * of another key: half of a training is not thrown away in silence.
 */
export function loadCheckpoint(file: string, key: string): Checkpoint | undefined {
  let sealed: Sealed | undefined;
  try {
    sealed = readSealed(file, MAGIC);
  } catch (error) {
    return refuse(file, (error as Error).message); // that is what readSealed throws
  }
  if (!sealed) return undefined;
  const { body } = sealed;
  const found = header.safeParse(sealed.header);
  if (!found.success) return refuse(file, 'it is of another version');
  if (found.data.key !== key) refuse(file, 'it is of another training');
  const groups: Record<Group, Record<string, FeedTensor>> = { state: {}, ema: {}, best: {} };
  let at = 0;
  for (const { group, name, dtype, dims } of found.data.tensors) {
    const data = arrayOf(dtype, elementCount(dims)) ?? refuse(file, `it holds ${dtype}`);
    new Uint8Array(data.buffer).set(body.subarray(at, at + data.byteLength));
    groups[group][name] = { dtype, dims, data };
    at += data.byteLength;
  }
  return { course: found.data.course, ...groups };
}

function refuse(file: string, why: string): never {
  return fail(
    'TRAIN_CHECKPOINT',
    `the checkpoint '${file}' cannot be used: ${why}`,
    { file },
    'delete it to start anew',
  );
}
