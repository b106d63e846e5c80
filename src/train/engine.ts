/** What computes a step of training: one session, or several in threads of their own that share each batch. */
import type { TrainingStep } from '../autodiff/add-optimiser.js';
import { fail } from '../base/errors.js';
import { field, item } from '../base/lists.js';
import type { Feed, FeedTensor, ValueInfo } from '../ir/feed.js';
import { openModel } from '../runtime/open.js';
import type { Session } from '../runtime/session.js';
import { ThreadSession } from '../runtime/thread-session.js';
import { firstNonFinite } from './non-finite.js';

export interface Engine {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  run(feed: Feed): Promise<Feed>;
  /** The first result that is not finite, in the order in which they are computed. */
  blame(feed: Feed): Promise<string | undefined>;
  close(): Promise<void>;
}
export interface EngineOptions {
  /** Of all sessions together. */
  readonly threads: number;
  /** Parts of a batch that are computed at once. */
  readonly workers: number;
}

/** Many results are kept for long, and sessions wait for each other. */
const SETTINGS = { spinning: false, memoryPattern: false, label: 'the training step' } as const;

/** Throws MODEL_RUNTIME where onnxruntime refuses the model. */
export async function openEngine(step: TrainingStep, { threads, workers }: EngineOptions): Promise<Engine> {
  const session = await openModel(step.model, { ...SETTINGS, threads });
  const { backward } = step;
  if (!backward)
    return {
      inputs: session.inputs,
      outputs: session.outputs,
      run: async (feed) => session.run(feed),
      blame: async (feed) => firstNonFinite(step.model, feed),
      close: async () => session.close(),
    };
  const each = { ...SETTINGS, threads: Math.max(1, Math.floor(threads / workers)) };
  const parts: ThreadSession[] = [];
  try {
    while (parts.length < workers) parts.push(await ThreadSession.open(backward, each));
  } catch (error) {
    await Promise.all([session.close(), ...parts.map(async (p) => p.close())]);
    throw error;
  }
  return new SharedBatches({ ...step, backward }, session, parts);
}

/**
 * Each thread computes gradients of its rows of a batch; their mean takes the step. What is one number, a gradient or a
 * statistic of a batch is the mean of the parts; rows of other outputs follow each other.
 */
class SharedBatches implements Engine {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly #step: TrainingStep & Required<Pick<TrainingStep, 'backward'>>;
  readonly #take: Session;
  readonly #parts: readonly ThreadSession[];
  /** What all parts are fed alike. */
  readonly #whole: ReadonlySet<string>;

  constructor(
    step: TrainingStep & Required<Pick<TrainingStep, 'backward'>>,
    take: Session,
    parts: readonly ThreadSession[],
  ) {
    const first = item(parts, 0);
    this.#step = step;
    this.#take = take;
    this.#parts = parts;
    this.#whole = new Set(step.loop.map((l) => l.input));
    this.inputs = [...take.inputs, ...first.inputs];
    this.outputs = [...take.outputs, ...first.outputs];
  }

  async run(feed: Feed): Promise<Feed> {
    const runs = this.#parts.map(async (p, i) => p.run(this.#part(feed, i)));
    await Promise.allSettled(runs); // what a thread answers late, behind another's error, would answer the next step
    const shared = joined(await Promise.all(runs));
    return { ...shared, ...(await this.#take.run({ ...feed, ...shared })) };
  }

  async blame(feed: Feed): Promise<string | undefined> {
    const results: Feed[] = [];
    for (const [i, part] of this.#parts.entries()) {
      const inside = await firstNonFinite(this.#step.backward, this.#part(feed, i));
      if (inside !== undefined) return inside;
      results.push(await part.run(this.#part(feed, i)));
    }
    return firstNonFinite(this.#step.model, { ...feed, ...joined(results) });
  }

  async close(): Promise<void> {
    await Promise.all([this.#take.close(), ...this.#parts.map(async (p) => p.close())]);
  }

  /** Weights, and rows of the rest. */
  #part(feed: Feed, i: number): Feed {
    const count = this.#parts.length;
    return Object.fromEntries(
      item(this.#parts, i).inputs.map(({ name }): [string, FeedTensor] => {
        const t = field(feed, name);
        if (this.#whole.has(name)) return [name, t];
        const [rows = 0, ...rest] = t.dims;
        const size = t.data.length / count;
        if (rows % count || !ArrayBuffer.isView(t.data))
          fail('DATA_SHAPE', `${rows} rows of '${name}' for ${count} workers`, { tensor: name }, 'give each as many');
        // slice() and not subarray(), for what goes to another thread takes its whole buffer along
        return [name, { ...t, dims: [rows / count, ...rest], data: t.data.slice(i * size, (i + 1) * size) }];
      }),
    );
  }
}

const MEAN = /^(?:gradient|batch) of /;

function joined(parts: readonly Feed[]): Feed {
  return Object.fromEntries(
    Object.entries(item(parts, 0)).map(([name, first]) => {
      const all = parts.map((p) => field(p, name));
      return [name, MEAN.test(name) || !first.dims.length ? mean(all, name) : stacked(all, name)];
    }),
  );
}

function mean(all: readonly FeedTensor[], name: string): FeedTensor {
  const first = item(all, 0);
  const lists = all.map(({ data }) => floats(data, name));
  const sums = Float64Array.from(item(lists, 0));
  for (const list of lists.slice(1))
    for (let at = 0; at < sums.length; at++) sums[at] = (sums[at] ?? 0) + (list[at] ?? 0);
  const data = item(lists, 0).slice();
  for (let at = 0; at < data.length; at++) data[at] = (sums[at] ?? 0) / lists.length;
  return { ...first, data };
}

function stacked(all: readonly FeedTensor[], name: string): FeedTensor {
  const first = item(all, 0);
  const [rows = 0, ...rest] = first.dims;
  const like = floats(first.data, name);
  const data =
    like instanceof Float32Array
      ? new Float32Array(all.length * like.length)
      : new Float64Array(all.length * like.length);
  all.forEach((t, i) => data.set(floats(t.data, name), i * like.length));
  return { ...first, dims: [rows * all.length, ...rest], data };
}

const floats = (data: FeedTensor['data'], name: string): Float32Array | Float64Array =>
  data instanceof Float32Array || data instanceof Float64Array
    ? data
    : fail('MODEL_UNSUPPORTED', `workers share float32 and float64, and '${name}' is neither`, { tensor: name });
