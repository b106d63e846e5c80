/** What layers read on calibration samples, one batch after the other. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { realLength, rowsOf, type RowCount } from '../calibrate/rows.js';
import { field, item } from '../base/lists.js';
import type { Batch } from '../data/batch.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import { removeOutputs, removeUnreached } from '../rewrite/unreached.js';
import { openModel } from '../runtime/open.js';
import { withGates } from './gates.js';
import type { ImportanceContext } from './importance/types.js';

/** One call of the model: its inputs, how many rows are samples, and the class of each where all have one. */
export interface Seen {
  readonly feed: Feed;
  readonly rows: RowCount;
  readonly labels?: readonly number[];
}

/** Calibration samples, with labels where the data have one for each row. */
export async function* seenBy({ batches, feeds }: Pick<ImportanceContext, 'batches' | 'feeds'>): AsyncGenerator<Seen> {
  if (batches)
    for await (const batch of batches()) {
      const labels = labelsOf(batch);
      for (const [k, feed] of batch.feeds.entries())
        yield { feed, rows: rowsOf(batch, k), ...(labels ? { labels } : {}) };
    }
  else
    for await (const feed of feeds()) {
      const total = Object.values(feed)[0]?.dims[0] ?? 1;
      yield { feed, rows: { total, real: total } };
    }
}

/** The class of each row; undefined where samples have none, or several rows each. */
function labelsOf({ feeds, rows, realRows }: Batch): readonly number[] | undefined {
  if (feeds.length !== 1 || rows.length !== realRows[0]) return undefined;
  const made: number[] = [];
  for (const { sample, start } of rows) {
    const { label } = sample;
    if (label === undefined || !Number.isSafeInteger(label) || label < 0) return undefined;
    made[item(start, 0)] = label;
  }
  // rows that only fill a batch repeat the last one
  const total = Object.values(item(feeds, 0))[0]?.dims[0] ?? made.length;
  while (made.length < total) made.push(item(made, made.length - 1));
  return made;
}

/** Numbers of one channel of one sample: all of them, with the sizes of the axes that are left. */
export interface ChannelMap {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/**
 * Calls `visit` with what layers read of each unit: one map for each sample and each tensor from which it is read, such
 * as [height, width] of an image or [tokens] of a text. Memory does not grow with the samples: `map.data` is used
 * again.
 */
export async function eachMap(
  context: Pick<ImportanceContext, 'model' | 'units' | 'feeds' | 'batches' | 'threads' | 'signal'>,
  visit: (unit: number, map: ChannelMap) => void,
): Promise<void> {
  const { model, gates } = withGates(context.model, context.units);
  onlyOutputs(
    model,
    gates.map((g) => g.name),
  );
  const session = await openModel(model, { threads: context.threads, spinning: false, label: 'the model with gates' });
  try {
    for await (const { feed, rows } of seenBy(context)) {
      const read = Object.fromEntries(
        model.graph.inputs.flatMap((v) => (feed[v.name] ? [[v.name, feed[v.name]]] : [])),
      );
      const made = await session.run(read as Feed); // values that are there
      for (const gate of gates) mapsOf(field(made, gate.name), gate.axis, rows, gate.units, visit);
      await nextTurn(); // runs block the thread: signals and drawing get their turn here
      context.signal?.throwIfAborted();
    }
  } finally {
    await session.close();
  }
}

/** Of each unit, the sums of the two numbers that `of` gives of a map, the first ÷ the second. */
export async function ratioOverMaps(
  context: ImportanceContext,
  of: (map: ChannelMap) => readonly [number, number],
): Promise<Float64Array> {
  const { length } = context.units;
  const [sums, counts] = [new Float64Array(length), new Float64Array(length)];
  await eachMap(context, (unit, map) => {
    const [sum, count] = of(map);
    sums[unit] = item(sums, unit) + sum;
    counts[unit] = item(counts, unit) + count;
  });
  return sums.map((n, unit) => n / Math.max(1, item(counts, unit)));
}

function mapsOf(
  { data, dims }: FeedTensor,
  axis: number,
  rows: RowCount,
  units: Int32Array,
  visit: (unit: number, map: ChannelMap) => void,
): void {
  const values = data as Float32Array; // gates are of float tensors
  const apart = axis > 0; // axis 0 holds samples
  const samples = apart ? realLength(item(dims, 0), rows) : 1;
  const inner = dims.slice(axis + 1).reduce((n, d) => n * d, 1);
  const middle = dims.slice(apart ? 1 : 0, axis).reduce((n, d) => n * d, 1);
  const channels = item(dims, axis);
  const map = {
    data: new Float32Array(middle * inner),
    dims: dims.filter((_, a) => a !== axis && !(apart && a === 0)),
  };
  for (let s = 0; s < samples; s++)
    for (let c = 0; c < channels; c++) {
      const unit = item(units, c);
      if (unit < 0) continue;
      for (let m = 0; m < middle; m++) {
        const from = ((s * middle + m) * channels + c) * inner;
        map.data.set(values.subarray(from, from + inner), m * inner);
      }
      visit(unit, map);
    }
}

/** Leaves values by name as the only outputs, and what they depend on. */
export function onlyOutputs(model: Model, names: readonly string[]): void {
  const { graph } = model;
  removeOutputs(graph);
  const wanted = new Set(names);
  for (const v of graph.topological().flatMap((n) => n.outputs)) if (wanted.has(v.name)) graph.addOutput(v);
  removeUnreached(graph);
}
