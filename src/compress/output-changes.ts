/** How far the outputs of smaller models are from those of the whole model on calibration samples. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FeedTensor } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import { openModel } from '../runtime/open.js';
import type { Session } from '../runtime/session.js';
import type { ImportanceContext } from './importance/types.js';
import { seenBy } from './seen.js';

export interface OutputChanges extends Pick<ImportanceContext, 'model' | 'feeds' | 'batches' | 'threads' | 'signal'> {
  /** So many smaller models, made one after the other. */
  readonly count: number;
  readonly made: (i: number) => Model;
  /** At most about so many samples are looked at. */
  readonly samples: number;
  readonly onModel?: ((done: number) => void) | undefined;
}

/** Σ ‖y − y₀‖² ÷ Σ ‖y₀‖² over all float outputs and samples, of each model. */
export async function outputChanges(o: OutputChanges): Promise<number[]> {
  const open = async (m: Model): Promise<Session> =>
    openModel(m, { threads: o.threads, spinning: false, label: 'a smaller model' });
  const changes: number[] = [];
  const whole = await open(o.model);
  try {
    for (let i = 0; i < o.count; i++) {
      const session = await open(o.made(i));
      try {
        changes.push(await changeOf(whole, session, o));
      } finally {
        await session.close();
      }
      o.onModel?.(i + 1);
    }
  } finally {
    await whole.close();
  }
  return changes;
}

async function changeOf(whole: Session, smaller: Session, o: OutputChanges): Promise<number> {
  let [change, energy, seen] = [0, 0, 0];
  for await (const { feed, rows } of seenBy(o)) {
    const [was, is] = [await whole.run(feed), await smaller.run(feed)];
    for (const [name, y] of Object.entries(was)) {
      const [a, b] = [numbersOf(y), numbersOf(is[name])];
      a.forEach((v, i) => {
        change += (v - (b[i] ?? 0)) ** 2;
        energy += v * v;
      });
    }
    await nextTurn(); // runs block the thread: signals and drawing get their turn here
    o.signal?.throwIfAborted();
    seen += rows.real;
    if (seen >= o.samples) break;
  }
  return change / (energy || 1);
}
const numbersOf = (t: FeedTensor | undefined): Float32Array | Float64Array =>
  t?.data instanceof Float32Array || t?.data instanceof Float64Array ? t.data : new Float32Array(0);
