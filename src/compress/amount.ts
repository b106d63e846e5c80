/** How much a target asks for: shares of what can be counted, from bytes of files and from measured times. */
import { fail } from '../base/errors.js';
import { named } from '../base/lists.js';
import { learnSizes } from '../channels/sizes.js';
import { channelUnits, removeChannels, type ChannelUnit } from '../channels/removal.js';
import { measureLatencies } from '../evaluate/latency.js';
import { cloneModel } from '../ir/clone.js';
import type { Model } from '../ir/model.js';
import { encodeModel } from '../onnx/encode.js';
import { forgetInferred, inferShapes } from '../ops/infer.js';
import { removeUnusedInitializers } from '../rewrite/pass.js';
import { leastLeft, selectUnits, type Selection } from './select.js';
import type { CompressContext } from './types.js';
import { Work, type Quantity } from './work.js';

export interface Ranked {
  readonly units: readonly ChannelUnit[];
  readonly scores: Float64Array;
}
export interface Target extends Pick<Selection, 'scope' | 'roundTo' | 'least' | 'prices'> {
  readonly left: {
    readonly macs?: number | undefined;
    readonly parameters?: number | undefined;
    readonly size?: number | undefined;
    readonly latency?: number | undefined;
  };
}
export interface Amount {
  readonly quantity: Quantity;
  readonly left: number;
  /** What was measured, in words; empty where nothing was. */
  readonly said: string;
}

/** Throws MODEL_UNSUPPORTED where all that may go is too little. */
export async function amountOf(context: CompressContext, ranked: Ranked, o: Target): Promise<Amount> {
  const { macs, parameters, size, latency } = o.left;
  if (macs !== undefined) return { quantity: 'macs', left: macs, said: '' };
  if (parameters !== undefined) return { quantity: 'parameters', left: parameters, said: '' };
  if (latency !== undefined) return byLatency(context, ranked, o, latency);
  // What is no constant, such as names and nodes, stays.
  const [file, constants] = [encodeModel(context.model).length, new Work(context.model).left.bytes];
  const left = ((size ?? 1) * file - (file - constants)) / Math.max(1, constants);
  if (left <= 0)
    fail(
      'MODEL_UNSUPPORTED',
      `of the ${file} bytes of the file, ${file - constants} are no constants: ${size ?? 1} of it cannot be reached`,
      {},
      'ask for a larger share',
    );
  return { quantity: 'bytes', left, said: '' };
}

/** How often the amount is halved: to 2 % of the range. */
const HALVINGS = 6;
const RUNS = { runs: 60, warmup: 5 };

/**
 * The largest share of multiply-accumulates whose model takes at most so long. Times are of models as they are without
 * the channels, in turn with the whole model; their noise is told with the result.
 */
async function byLatency(context: CompressContext, ranked: Ranked, o: Target, wanted: number): Promise<Amount> {
  const { model, signal, onEvent } = context;
  // nothing may be measured: time about follows the work
  if (!context.timing) return { quantity: 'macs', left: wanted, said: '' };
  const timing = await context.timing();
  const whole = encodeModel(model);
  const measured = async (left: number): Promise<{ ratio: number; text: string }> => {
    const gone = selectUnits(model, ranked.units, ranked.scores, { ...o, quantity: 'macs', left });
    const candidate = encodeModel(without(model, gone));
    const [time] = await measureLatencies(whole, [candidate], { ...timing, ...RUNS, signal });
    const ratio = 1 / (time?.speedup ?? 1);
    const interval = time?.speedupInterval;
    const noise = interval ? ` (95 % CI ${(1 / interval[1]).toFixed(2)} to ${(1 / interval[0]).toFixed(2)})` : '';
    return { ratio, text: `${ratio.toFixed(2)} × the time measured${noise}` };
  };
  let low = Math.min(1, 1.0001 * leastLeft(model, ranked.units, ranked.scores, { ...o, quantity: 'macs', left: 0 }));
  let best = await measured(low);
  if (best.ratio > wanted)
    fail(
      'MODEL_UNSUPPORTED',
      `taking out all channels that may go leaves ${best.text}, and ${wanted} is asked for`,
      {},
      'ask for less, or let more channels go: least, families',
    );
  let high = 1;
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (low + high) / 2;
    const found = await measured(middle);
    if (found.ratio <= wanted) [low, best] = [middle, found];
    else high = middle;
    onEvent({ type: 'progress', stage: 'prune', done: i + 1, total: HALVINGS, note: 'measuring times' });
  }
  return { quantity: 'macs', left: low, said: ` · ${best.text}; left: { macs: ${low.toFixed(4)} } gives it again` };
}

/** A copy without units, which are found again by their first places. */
export function without(given: Model, gone: readonly ChannelUnit[]): Model {
  const { model } = cloneModel(given);
  inferShapes(model);
  const keys = new Map(channelUnits(model).map((u) => [keyOf(u), u]));
  takeOut(
    model,
    gone.map((u) => named(keys, keyOf(u))),
  );
  return model;
}
/** Each channel belongs to one unit. */
const keyOf = ({ places: [first] }: ChannelUnit): string =>
  first ? `${first.axis} ${first.channel} ${first.value.name}` : '';

/** In place, with shapes inferred again. */
export function takeOut(model: Model, gone: readonly ChannelUnit[]): void {
  removeChannels(model, gone);
  removeUnusedInitializers(model.graph);
  forgetInferred(model);
  inferShapes(model);
  learnSizes(model);
}
