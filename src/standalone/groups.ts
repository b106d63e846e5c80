/** Which channels of a model go together, how much they matter, and what the model saves without some of them. */
import { fail, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { byName, item } from '../base/lists.js';
import { familiesOf, type Family } from '../channels/families.js';
import { channelUnits, type ChannelUnit } from '../channels/removal.js';
import { without } from '../compress/amount.js';
import type { Importance, ImportanceContext } from '../compress/importance/types.js';
import { scanChanges } from '../compress/scan.js';
import { Work } from '../compress/work.js';
import { feedsOf, type Batch } from '../data/batch.js';
import { measureLatencies } from '../evaluate/latency.js';
import { cloneModel } from '../ir/clone.js';
import type { Feed } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import { encodeModel } from '../onnx/encode.js';
import { loadModel } from '../onnx/files.js';
import { forgetInferred, inferShapes } from '../ops/infer.js';
import { calibrationBatches } from '../pipeline/adjust.js';
import { sampleFeed } from '../pipeline/calibration.js';
import { fedInputs } from '../pipeline/inputs.js';
import { atBatch, randomFeed } from '../pipeline/feeds.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { builtIn } from '../recipe/plugins.js';
import { cleaned } from '../train/students/derive.js';

export interface GroupsOptions {
  readonly file: string;
  /** Name of a measure, or its name with options. Default: l1. */
  readonly importance?: { readonly name: string; readonly [option: string]: unknown };
  /** Share of each family, its least important channels, whose saving is told. Default: 0.5. */
  readonly share?: number;
  /** Gives samples to measures that look at some, and sizes to inputs that leave them open. */
  readonly recipe?: ResolvedRecipe | undefined;
  /** Measures what each family saves in time. */
  readonly latency?: { readonly runs: number; readonly warmup: number; readonly threads: number } | undefined;
  /**
   * Shares of each family, its least important channels, without which the outputs are compared with those of the whole
   * model, on samples of the recipe and without fitting: which families are sensitive.
   */
  readonly scan?: readonly number[] | undefined;
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: OnEvent | undefined;
  readonly report?: ((d: Diagnostic) => void) | undefined;
}

export interface Saving {
  readonly macs: number;
  readonly parameters: number;
  /** Of the constants. */
  readonly bytes: number;
}
/** What the outputs change without a share of a family: Σ ‖y − y₀‖² ÷ Σ ‖y₀‖². */
export interface GroupSensitivity {
  readonly share: number;
  readonly change: number;
}
/** Channels of which any may go while the others stay. */
export interface ChannelGroup {
  /** Weights that make them, by name. */
  readonly makers: readonly string[];
  /** Tensors and constants that lose channels with them, and along which axes. */
  readonly tensors: readonly { readonly name: string; readonly axis: number; readonly constant: boolean }[];
  /** How many can go one by one; `each` is how many places of its first tensor one takes, such as those of a head. */
  readonly units: number;
  readonly each: number;
  /** Whether sums tie them, as those of a residual stream: with `families: inner`, prune leaves them. */
  readonly summed: boolean;
  readonly importance: { readonly least: number; readonly median: number; readonly greatest: number };
  /** What the model saves without one of them, and without `share` of them, the `taken` least important. */
  readonly one: Saving;
  readonly taken: number;
  readonly some: Saving & {
    /** Milliseconds of a run, by the median of ratios in rounds, with an interval. */
    readonly ms?: number;
    readonly msInterval?: readonly [number, number];
  };
  readonly scan?: readonly GroupSensitivity[];
}
export interface ModelGroups extends Saving {
  readonly file: string;
  readonly importance: string;
  readonly share: number;
  readonly inputShapes: Readonly<Record<string, readonly number[]>>;
  /** Of a run of the whole model. */
  readonly ms?: number;
  readonly groups: readonly ChannelGroup[];
}

/** Families of channels, those that save most first. Throws MODEL_*, DATA_*, RECIPE_UNKNOWN_NAME. */
export async function modelGroups(o: GroupsOptions): Promise<ModelGroups> {
  const { share = 0.5, recipe } = o;
  const given = loadModel(o.file);
  const inputs = fedInputs(given);
  const found = recipe ? await sampleFeed(recipe, inputs) : randomFeed(inputs, 0);
  const feed = atBatch(found, inputs, 1);
  const model = await cleaned(given, true);
  const shapes = Object.fromEntries(Object.entries(feed).map(([name, t]) => [name, t.dims]));
  inferShapes(model);
  const units = channelUnits(model);
  const samples = samplesOf(o, model);
  const { name, scores } = await scored(o, model, units, samples);
  const place = new Map(units.map((u, i) => [u, i]));
  const sized = cloneModel(model);
  forgetInferred(sized.model);
  inferShapes(sized.model, new Map(Object.entries(shapes)));
  const work = new Work(model, sized.nodes);
  const whole = work.left;
  const saved = (gone: readonly ChannelUnit[]): Saving => {
    work.take(gone);
    const { macs, parameters, bytes } = work.left;
    work.giveBack(gone);
    return { macs: whole.macs - macs, parameters: whole.parameters - parameters, bytes: whole.bytes - bytes };
  };
  const made = familiesOf(units).map((family) => {
    const order = [...family.units].sort((a, b) => scoreOf(a) - scoreOf(b));
    const gone = order.slice(0, Math.min(order.length - 1, Math.round(share * order.length)));
    return {
      order,
      gone,
      group: groupOf(family, order.map(scoreOf), saved(order.slice(0, 1)), gone.length, saved(gone)),
    };
  });
  function scoreOf(u: ChannelUnit): number {
    return item(scores, place.get(u) ?? -1);
  }
  made.sort((a, b) => b.group.some.macs - a.group.some.macs);
  const timed =
    o.latency &&
    (await timesWithout(
      o,
      model,
      feed,
      made.map((m) => m.gone),
    ));
  const scanned = o.scan?.length
    ? await scan(
        o,
        model,
        samples,
        made.map((m) => m.order),
      )
    : undefined;
  return {
    ...{ file: o.file, importance: name, share, inputShapes: shapes, ...whole },
    ...(timed?.ms === undefined ? {} : { ms: timed.ms }),
    groups: made.map(({ group }, i) => {
      const [time, own] = [timed?.saved[i], scanned?.[i]];
      return { ...group, some: { ...group.some, ...(time ?? {}) }, ...(own ? { scan: own } : {}) };
    }),
  };
}

type Samples = Pick<ImportanceContext, 'feeds'> & Required<Pick<ImportanceContext, 'batches'>>;
/** Those of the recipe; none where there is no recipe. */
function samplesOf(
  { recipe, report = () => undefined, onEvent = () => undefined }: GroupsOptions,
  model: Model,
): Samples {
  async function* batches(): AsyncGenerator<Batch> {
    if (!recipe) return;
    const about = { inputs: fedInputs(model), report, onEvent };
    yield* calibrationBatches(recipe, about, recipe.recipe.calibration.samples, 'quantize groups');
  }
  return { feeds: () => feedsOf(batches()), batches };
}

/** For each family, in the order of the shares. */
async function scan(
  { scan: shares = [], recipe, signal }: GroupsOptions,
  model: Model,
  samples: Samples,
  families: readonly (readonly ChannelUnit[])[],
): Promise<GroupSensitivity[][]> {
  if (!recipe?.recipe.calibration.data)
    fail('DATA_MISSING', 'a scan looks at samples', {}, 'name a recipe with calibration data: --recipe');
  const { samples: count, threads } = recipe.recipe.calibration;
  const changes = await scanChanges({ model, ...samples, threads, signal, samples: count }, families, shares);
  return changes.map((own) => shares.map((share, k) => ({ share, change: item(own, k) })));
}

async function scored(
  o: GroupsOptions,
  model: Model,
  units: readonly ChannelUnit[],
  samples: Samples,
): Promise<{ readonly name: string; readonly scores: Float64Array }> {
  const { recipe } = o;
  const { importances } = recipe?.plugins ?? builtIn;
  const { name, ...about } = o.importance ?? { name: 'l1' };
  const measure: Importance =
    importances.find((i) => i.name === name) ??
    fail(
      'RECIPE_UNKNOWN_NAME',
      `unknown importance '${name}'`,
      {},
      `there are ${importances.map((i) => i.name).join(', ')}`,
    );
  if (measure.needs === 'inputs' && !recipe?.recipe.calibration.data)
    fail('DATA_MISSING', `importance ${name} looks at samples`, {}, 'name a recipe with calibration data: --recipe');
  const parsed = byName(importances, name).options.safeParse(about);
  if (!parsed.success)
    return fail('RECIPE_INVALID', `importance ${name}: ${parsed.error.issues.map((i) => i.message).join('; ')}`);
  const context = { model, units, ...samples, threads: 1, seed: o.seed ?? 0, signal: o.signal };
  return { name, scores: await measure.score(context, parsed.data) };
}

function groupOf(family: Family, scores: readonly number[], one: Saving, taken: number, some: Saving): ChannelGroup {
  const { units, makers, summed } = family;
  const [first] = units;
  const held = new Map<string, ChannelGroup['tensors'][number]>();
  const note = (name: string, axis: number, constant: boolean): void => {
    held.set(`${name} ${axis}`, { name, axis, constant });
  };
  for (const { value, axis } of first?.places ?? []) note(value.name, axis, false);
  for (const { constant, axis } of first?.cuts ?? []) note(constant.name, axis, true);
  const place = first?.places[0];
  return {
    makers: makers.map((v) => v.name),
    tensors: [...held.values()],
    units: units.length,
    each: first?.places.filter((p) => p.value === place?.value && p.axis === place.axis).length ?? 1,
    summed,
    importance: {
      least: scores[0] ?? 0,
      median: scores[scores.length >> 1] ?? 0,
      greatest: scores.at(-1) ?? 0,
    },
    ...{ one, taken, some },
  };
}

/** Milliseconds of the model, and what is saved without each list of channels: all in the same rounds. */
async function timesWithout(
  { latency, signal, onEvent }: GroupsOptions,
  model: Model,
  feed: Feed,
  gone: readonly (readonly ChannelUnit[])[],
): Promise<{
  readonly ms: number | undefined;
  readonly saved: readonly { readonly ms: number; readonly msInterval?: readonly [number, number] }[];
}> {
  if (!latency || !gone.length) return { ms: undefined, saved: [] };
  const files = gone.map((units) => encodeModel(without(model, units)));
  const times = await measureLatencies(encodeModel(model), files, { ...latency, feed, signal, onEvent });
  const ms = times[0]?.floatMs.p50 ?? 0;
  const saving = (speedup: number): number => ms * (1 - 1 / speedup);
  return {
    ms,
    saved: times.map(({ speedup, speedupInterval: i }) => ({
      ms: saving(speedup),
      ...(i ? { msInterval: [saving(i[0]), saving(i[1])] as const } : {}),
    })),
  };
}
