/** Whether onnxruntime's graph optimizations change what a quantized model computes. */
import { item } from '../base/lists.js';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { realLength, rowsOf, type RowCount } from '../calibrate/rows.js';
import { classOutput } from '../evaluate/agreement.js';
import { OutputErrorMeter } from '../evaluate/output-error.js';
import { argmax, numbersOf, sliceRows } from '../evaluate/tensors.js';
import type { FeedTensor } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import type { RuntimeFacts } from '../record/index.js';
import { openModel } from '../runtime/open.js';
import { Session, type SessionOptions } from '../runtime/session.js';
import { repeatable, type Batches } from './samples.js';

export interface DifferenceOptions {
  /** A file, or a model in memory. */
  readonly quantized: string | Model;
  /** A fresh pass over samples. */
  readonly batches: Batches;
  /** How many samples to use. Default 32. */
  readonly samples?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The quantized model as deployed, with all optimizations, against the same file with none: the plain meaning of its
 * QuantizeLinear and DequantizeLinear nodes. Fused integer kernels may differ by rounding, a step of the output's scale
 * or so; more means that a fusion is wrong or that a kernel saturates (see {@link saturationRisk}).
 *
 * `cosine` is that of the worst output, `maxAbsError` of the largest difference; `sameTop` where an output holds class
 * scores. Throws DATA_MISSING without a sample, MODEL_RUNTIME, what reading data throws, and the signal's reason.
 */
export async function optimizationDifference(
  o: DifferenceOptions,
): Promise<NonNullable<RuntimeFacts['optimizations']>> {
  const optimized = await open(o.quantized, { threads: o.threads ?? 1, label: 'the quantized model' });
  let plain: Session | undefined;
  try {
    plain = await open(o.quantized, {
      threads: o.threads ?? 1,
      optimization: 'disabled',
      label: 'the quantized model without optimizations',
    });
    const shrink = optimized.inputs.every((i) => typeof i.shape?.[0] !== 'number');
    const meters = new Map(optimized.outputs.map((y) => [y.name, new OutputErrorMeter(y.name)]));
    const scores = classOutput(optimized.outputs)?.name;
    let samples = 0;
    let rowsSeen = 0;
    let same = 0;
    for await (const batch of repeatable(o.batches, o.samples ?? 32, { shrink, signal: o.signal, keptBytes: 0 })()) {
      for (let k = 0; k < batch.feeds.length; k++) {
        const rows = rowsOf(batch, k);
        const a = await plain.run(item(batch.feeds, k));
        const b = await optimized.run(item(batch.feeds, k));
        for (const [name, meter] of meters) {
          const [x, y] = [a[name], b[name]];
          if (!x || !y) continue;
          meter.add(real(x, rows), real(y, rows));
          // two feeds make a pair of embeddings, which have no top
          if (name !== scores || batch.feeds.length !== 1) continue;
          const [tops, others] = [topsOf(real(x, rows)), topsOf(real(y, rows))];
          rowsSeen += tops.length;
          same += tops.filter((top, i) => top === others[i]).length;
        }
      }
      samples += batch.samples.length;
      await nextTurn(); // runs block the thread: signals get their turn here
    }
    const facts = [...meters.values()].flatMap((m) => m.facts() ?? []);
    return {
      samples,
      cosine: Math.min(1, ...facts.map((f) => f.cosine)),
      maxAbsError: Math.max(0, ...facts.map((f) => f.maxAbsError)),
      ...(rowsSeen ? { sameTop: same / rowsSeen } : {}),
    };
  } finally {
    await optimized.close();
    await plain?.close();
  }
}

const open = (model: string | Model, options: SessionOptions): Promise<Session> =>
  typeof model === 'string' ? Session.open(model, options) : openModel(model, options);

/** Rows that hold samples. */
const real = (t: FeedTensor, rows: RowCount): FeedTensor =>
  t.dims.length ? sliceRows(t, 0, realLength(t.dims[0]!, rows)) : t; // a tensor of rank 1 or more has a first axis

/** The top class of each row of [batch, classes]; -1 where it holds NaN. */
function topsOf(t: FeedTensor): number[] {
  const values = numbersOf(t);
  const classes = t.dims[1] ?? 1;
  if (!values || classes < 2) return [];
  return Array.from({ length: t.dims[0] ?? 0 }, (_, r) =>
    argmax(Array.from({ length: classes }, (_unused, c) => values[r * classes + c]!)),
  ); // within the tensor
}
