/** Calibration of a plan: data, batches, cache key, runner. */
import { named } from '../base/lists.js';
import { createHash } from 'node:crypto';
import { measureBodies } from '../calibrate/bodies.js';
import { calibrate } from '../calibrate/runner.js';
import type { TensorStats } from '../calibrate/types.js';
import type { Diagnostic } from '../base/errors.js';
import { fail } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { batches, type Batch } from '../data/batch.js';
import { openDataset, type Dataset } from '../data/dataset.js';
import type { DataSpec } from '../data/spec.js';
import type { Feed, ValueInfo } from '../ir/feed.js';
import type { Value } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import { decodeTensorFile } from '../onnx/tensor.js';
import { observerOf } from '../quantize/assign.js';
import type { Planned } from '../scheme/quantized.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { pluginKey } from '../recipe/plugins.js';
import { adjustKey } from './adjust-key.js';
import { Session } from '../runtime/session.js';
import { cacheFolder } from '../recipe/cache-folder.js';
import { feedOf, randomFeed } from './feeds.js';
import { inputInfo } from './inputs.js';
import type { CalibrationFacts } from '../record/index.js';

/** Models that data run through, such as encoders: open as long as their recipe is in use. */
const OPEN = new WeakMap<ResolvedRecipe, Map<string, Promise<Session>>>();

function openOnce(recipe: ResolvedRecipe, file: string): Promise<Session> {
  const open = OPEN.get(recipe) ?? new Map<string, Promise<Session>>();
  OPEN.set(recipe, open);
  const { threads } = recipe.recipe.evaluation;
  const session = open.get(file) ?? Session.open(file, { threads, spinning: false });
  open.set(file, session);
  return session;
}

/** Opens a data spec for a model. */
export function openData(
  spec: DataSpec,
  inputs: readonly ValueInfo[],
  recipe: ResolvedRecipe,
  report: (d: Diagnostic) => void,
): Promise<Dataset> {
  return openDataset(spec, inputs, {
    baseDir: recipe.baseDir,
    seed: recipe.recipe.calibration.seed,
    onDiagnostic: report,
    decodeTensor: (bytes) => feedOf(decodeTensorFile(bytes)),
    openModel: (file) => openOnce(recipe, file),
  });
}

/**
 * Inputs of the first sample that the recipe's data hold, so that work is counted for real sizes; undefined without
 * data.
 */
export async function exampleFeed(recipe: ResolvedRecipe, inputs: readonly ValueInfo[]): Promise<Feed | undefined> {
  const spec = recipe.recipe.evaluation.data ?? recipe.recipe.calibration.data;
  // all but the batch is known
  if (!spec || inputs.every((i) => i.shape?.slice(1).every((d) => typeof d === 'number'))) return undefined;
  return firstFeed(recipe, inputs);
}

/** The inputs of the first sample of a recipe's data; undefined where it names none. */
export async function firstFeed(recipe: ResolvedRecipe, inputs: readonly ValueInfo[]): Promise<Feed | undefined> {
  const spec = recipe.recipe.evaluation.data ?? recipe.recipe.calibration.data;
  if (!spec) return undefined;
  const dataset = await openData(spec, inputs, recipe, () => undefined);
  for await (const sample of dataset.samples({ limit: 1 })) return sample.feeds[0];
  return undefined;
}

/** The same, or random inputs: whether a model runs, and how fast, is seen with either. */
export const sampleFeed = async (recipe: ResolvedRecipe, inputs: readonly ValueInfo[]): Promise<Feed> =>
  (await firstFeed(recipe, inputs)) ?? randomFeed(inputs, 0);

export interface Calibrated {
  /** By tensor, for each plan in its order. */ readonly stats: readonly ReadonlyMap<Value, TensorStats>[];
  readonly facts: Omit<CalibrationFacts, 'observer' | 'overlapWithEvaluation'>;
  /** id and hash of each sample. */ readonly samples: readonly { readonly id: string; readonly hash: string }[];
}
/** One plan over the model, or over a clone of it with the same names. */
export interface CalibrationPlan {
  readonly planned: Planned;
  readonly observerOptions: { readonly name: string };
}

export interface ObservedAs {
  readonly observer: string;
  readonly observerOptions?: unknown;
  readonly axis?: number;
  /** Set where the model itself may make it infinite. */
  readonly infinite?: true;
}

/** Activation points of a plan that calibration must see, and how. */
export function observedActivations(planned: Planned): [Value, ObservedAs][] {
  const probes = [...(planned.probes ?? [])].filter((v) => planned.plan.get(v)?.kind !== 'observed');
  return [
    ...probes.map((v): [Value, ObservedAs] => [v, { observer: 'minmax' }]),
    ...[...planned.plan, ...(planned.spare ?? [])].flatMap(([p, spec]): [Value, ObservedAs][] => {
      if (!('uses' in p) || p.data) return [];
      if (spec.kind === 'half') return [[p, { observer: 'minmax', ...(spec.infinite ? { infinite: true } : {}) }]];
      if (spec.kind !== 'observed') return [];
      const g = spec.scheme.granularity;
      const how = {
        observer: spec.observer,
        ...(spec.observerOptions === undefined ? {} : { observerOptions: spec.observerOptions }),
        ...(g.kind === 'axis' ? { axis: g.axis } : {}),
      };
      const covered = (spec.covers ?? []).flatMap((c) => ('uses' in c && !c.data ? c : []));
      return [p, ...covered].map((v) => [v, how]);
    }),
  ];
}

/**
 * Runs calibration once for all plans, or takes its statistics from the cache. `plans` are over `model` or clones of
 * it, with the same names. Throws DATA_*, CALIBRATION_EMPTY, CALIBRATION_NON_FINITE.
 */
export async function calibratePlans(o: {
  model: Model;
  /** Asked only where statistics are kept. */ contentSha256: () => string;
  plans: readonly CalibrationPlan[];
  recipe: ResolvedRecipe;
  report: (d: Diagnostic) => void;
  onEvent?: OnEvent;
  signal?: AbortSignal;
}): Promise<Calibrated> {
  const c = o.recipe.recipe.calibration;
  if (!c.data)
    fail(
      'DATA_MISSING',
      'the recipe names no calibration data',
      {},
      'set calibration.data, pass --calibration-data, or use quantize.format: dynamic, which needs none',
    );
  const inputs = inputInfo(o.model);
  const dataset = await openData(c.data, inputs, o.recipe, o.report);
  const own = new Map(
    [...o.model.graph.inputs, ...[...o.model.graph.nodes].flatMap((n) => n.outputs)].map((v) => [v.name, v]),
  );
  const inBodies = new Map(
    [...allGraphs(o.model.graph)]
      .slice(1)
      .flatMap((g) => [...g.inputs, ...[...g.nodes].flatMap((n) => n.outputs)])
      .map((v) => [v.name, v]),
  );
  const observed = o.plans.map(({ planned, observerOptions }) =>
    observedActivations(planned).map(([value, spec]) => {
      const here = own.get(value.name);
      const options = spec.observerOptions ?? (spec.observer === observerOptions.name ? observerOptions : {});
      const { axis, infinite } = spec;
      const how = { ...(axis === undefined ? {} : { axis }), ...(infinite ? { infinite } : {}) };
      const point = here && {
        value: here,
        observer: observerOf(spec.observer, o.recipe.plugins.observers),
        options,
        ...how,
      };
      return {
        planValue: value,
        point,
        body: here
          ? undefined
          : (inBodies.get(value.name) ??
            fail('INTERNAL', `bug in quantbench: '${value.name}' is not in the model that is calibrated`)),
      };
    }),
  );
  const points = observed.map((list) =>
    list.flatMap((p) => (p.point ? [{ planValue: p.planValue, point: p.point }] : [])),
  );
  const bodyValues = [...new Set(observed.flat().flatMap((p) => p.body ?? []))];
  const total = dataset.count === undefined ? c.samples : Math.min(dataset.count, c.samples);
  const samples = await identify(dataset, c.samples, o.signal);
  const cache = cacheOf(o, samples);
  const read = (): AsyncIterable<Batch> =>
    batches(dataset.samples({ limit: c.samples, ...(o.signal ? { signal: o.signal } : {}) }), {
      size: c.batchSize,
      inputs,
      padding: dataset.padding,
    });
  const result =
    bodyValues.length && !points.flat().length
      ? undefined
      : await calibrate({
          model: o.model,
          points: points.flat().map((p) => p.point),
          totalSamples: total,
          threads: c.threads,
          onNonFinite: c.onNonFinite,
          ...(c.maxMemory ? { maxMemoryBytes: c.maxMemory } : {}),
          sampling: { maxValuesPerSample: c.maxValuesPerSample, seed: c.seed },
          batches: read,
          ...(cache ? { cache } : {}),
          ...(o.onEvent ? { onEvent: o.onEvent } : {}),
          ...(o.signal ? { signal: o.signal } : {}),
        });
  let runs = 0;
  const bodies = await measureBodies({
    model: o.model,
    values: bodyValues,
    threads: c.threads,
    strict: c.onNonFinite === 'fail',
    feeds: async function* () {
      if (bodyValues.length)
        for await (const batch of read()) {
          runs++;
          yield* batch.feeds;
        }
    },
  });
  const statsOf = (p: (typeof observed)[number][number]): TensorStats =>
    // points of the main graph were calibrated; the others are of a body, and were asked for
    p.point ? result!.statsOf(p.point) : named(bodies, p.body!);
  const facts = result?.facts ?? {
    samples: samples.length,
    batches: runs,
    tensors: 0,
    cache: 'off' as const,
    sampling: 'extremes only',
    nonFinite: [],
    skippedSamples: 0,
  };
  return {
    stats: observed.map((list) => new Map(list.map((p) => [p.planValue, statsOf(p)]))),
    samples,
    facts: { ...facts, tensors: facts.tensors + bodyValues.length, data: dataset.describe },
  };
}

/**
 * Id and content hash of the samples that calibration will use: for the cache key, and to find them again in the
 * evaluation data.
 */
async function identify(
  dataset: Dataset,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<{ id: string; hash: string }[]> {
  const found: { id: string; hash: string }[] = [];
  for await (const { id, hash } of dataset.identities({ limit, ...(signal ? { signal } : {}) }))
    found.push({ id, hash });
  return found;
}

/** Not by tensor or observer: the cache keeps those apart, so that recipes share what they have in common. */
function cacheOf(
  o: { contentSha256: () => string; recipe: ResolvedRecipe },
  samples: readonly { id: string; hash: string }[],
): { dir: string; key: string } | undefined {
  const { cache, data, batchSize, seed, maxValuesPerSample, onNonFinite } = o.recipe.recipe.calibration;
  const dir = cacheFolder(cache, o.recipe.baseDir);
  if (dir === undefined) return undefined;
  const key = createHash('sha256')
    .update(
      JSON.stringify({
        model: o.contentSha256(),
        optimize: o.recipe.recipe.optimize,
        adjust: adjustKey(o.recipe.recipe),
        data,
        batchSize,
        seed,
        maxValuesPerSample,
        onNonFinite,
        samples: samples.map((s) => s.hash),
        plugins: pluginKey(o.recipe.plugins),
      }),
    )
    .digest('hex');
  return { dir, key };
}
