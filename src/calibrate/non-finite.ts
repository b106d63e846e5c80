/** Which sample of a batch, and which tensor of it, holds NaN or infinity. */
import { item, named } from '../base/lists.js';
import type { Batch } from '../data/batch.js';
import { cloneModel } from '../ir/clone.js';
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { openModel } from '../runtime/open.js';
import type { Session } from '../runtime/session.js';
import { keepSamples, realLength, rowsOf } from './rows.js';
import { removeOutputs } from '../rewrite/unreached.js';

/**
 * The first tensor of a sample that holds NaN or infinity, with the exact counts. `position` is the sample's place in
 * the batch.
 */
export interface NonFinite {
  readonly position: number;
  readonly tensor: string;
  readonly nan: number;
  readonly inf: number;
}

/** Bytes of whole tensors that one run may bring. */
const FETCH_BYTES = 256 << 20;

/** Runs samples one by one with whole tensors, which is slow: made only when something looked wrong. */
export interface Inspector {
  /** Samples with NaN or infinity, each with the first such tensor in the order of `values`. */
  inspect(batch: Batch): Promise<NonFinite[]>;
  close(): Promise<void>;
}

/** `wanted` in the order in which the model computes them. `shrink`: the model takes batches of any size. */
export function createInspector(
  original: Model,
  wanted: readonly Value[],
  shrink: boolean,
  threads: number,
): Inspector {
  const values = [...new Set(wanted)];
  let session: Session | undefined;
  const isInput = new Set(original.graph.inputs);
  const computed = values.filter((v) => !isInput.has(v));
  const open = async (): Promise<Session> => {
    const { model, values: copies } = cloneModel(original);
    removeOutputs(model.graph);
    // values of the main graph, which is copied whole
    for (const v of computed) model.graph.addOutput(named(copies, v));
    return openModel(model, { threads });
  };
  const fetchGroups = (rows: number): string[][] => {
    const groups: string[][] = [];
    let bytes = Infinity;
    for (const v of computed) {
      const size =
        4 * rows * (v.shape ?? []).slice(1).reduce<number>((n, d) => n * (typeof d === 'number' ? d : 128), 1);
      if (bytes + size > FETCH_BYTES) {
        groups.push([]);
        bytes = 0;
      }
      item(groups, groups.length - 1).push(v.name);
      bytes += size;
    }
    return groups;
  };
  return {
    async inspect(batch) {
      const found: NonFinite[] = [];
      for (let position = 0; position < batch.samples.length; position++) {
        const one = keepSamples(batch, [position], shrink);
        const counts = new Map<string, { nan: number; inf: number }>();
        for (let k = 0; k < one.feeds.length; k++) {
          const rows = rowsOf(one, k);
          const feed = item(one.feeds, k);
          const see = (name: string, data: unknown, dims: readonly number[]): void => {
            if (!(data instanceof Float32Array)) return;
            const length = dims[0] ?? 1;
            const own = data.subarray(0, (data.length / Math.max(1, length)) * realLength(length, rows));
            const c = counts.get(name) ?? { nan: 0, inf: 0 };
            for (let i = 0; i < own.length; i++)
              if (!Number.isFinite(own[i]!)) {
                if (Number.isNaN(own[i]!)) c.nan++;
                else c.inf++;
              }
            if (c.nan + c.inf > 0) counts.set(name, c);
          };
          for (const v of values) {
            const t = isInput.has(v) ? feed[v.name] : undefined;
            if (t) see(v.name, t.data, t.dims);
          }
          if (computed.length) {
            session ??= await open();
            for (const group of fetchGroups(rows.total))
              for (const [name, t] of Object.entries(await session.run(feed, group))) see(name, t.data, t.dims);
          }
        }
        const first = values.find((v) => counts.has(v.name));
        if (first) found.push({ position, tensor: first.name, ...named(counts, first.name) });
      }
      return found;
    },
    close: async () => {
      await session?.close();
    },
  };
}
