/** What is measured of the inside of one variant: layers, sensitivity, kernels. None of it changes the result. */
import { measureLayers } from '../analyse/layers.js';
import { optimizationDifference } from '../analyse/optimizations.js';
import type { Batches } from '../analyse/samples.js';
import { measureSensitivity } from '../analyse/sensitivity.js';
import { batches } from '../data/batch.js';
import { inSearchPart } from '../evaluate/compare.js';
import type { Feed, Sample } from '../ir/feed.js';
import { profilePair } from '../runtime/profile.js';
import { openData } from './calibration.js';
import type { LookInput } from './check.js';
import { atBatch } from './feeds.js';
import type { LayerErrors, RuntimeFacts, Sensitivity } from '../record/index.js';
import type { AssignedVariant, WrittenVariant } from './variant/types.js';

/**
 * The samples to analyse with: those that calibrated, which must not be the judge of accuracy; else those that
 * evaluate, of which a recipe that holds some out looks at the search part. Undefined without data.
 */
export async function analysisData(o: LookInput): Promise<AnalysisData | undefined> {
  const { calibration, evaluation } = o.recipe.recipe;
  const spec = calibration.data ?? evaluation.data;
  if (!spec) return undefined;
  // what it has to say was said when the data were read for their purpose
  const dataset = await openData(spec, o.inputs, o.recipe, () => undefined);
  const share = calibration.data ? 0 : evaluation.searchShare;
  async function* samples(): AsyncGenerator<Sample> {
    for await (const s of dataset.samples({ ...(o.signal ? { signal: o.signal } : {}) }))
      if (!share || inSearchPart(s.id, share)) yield s;
  }
  const of =
    (size: number): Batches =>
    () =>
      batches(samples(), { size, inputs: o.inputs, padding: dataset.padding });
  return { batches: of(calibration.batchSize), singles: of(1) };
}
/** `singles` for what takes whole tensors out of the model: their memory counts, not the time of a run. */
export interface AnalysisData {
  readonly batches: Batches;
  readonly singles: Batches;
}

/** Layers one at a time; undefined where the recipe does not ask for it. */
export async function analyseSensitivity(
  v: AssignedVariant,
  data: AnalysisData,
  o: Pick<LookInput, 'onEvent' | 'signal'>,
): Promise<Sensitivity | undefined> {
  const { sensitivity, threads } = v.recipe.recipe.evaluation;
  if (sensitivity === false) return undefined;
  const { planned, format, target } = v.prepared;
  return measureSensitivity({
    model: v.model,
    planned,
    params: v.assigned.params,
    format,
    target,
    seed: v.recipe.recipe.quantize.seed,
    batches: data.batches,
    samples: sensitivity.samples,
    measure: sensitivity.measure,
    macs: new Map(v.nodes.map((n) => [n.name, n.macs])),
    threads,
    ...o,
  });
}
export function sensitivityText({ layers }: Sensitivity): string {
  const [worst] = layers;
  return (
    `${layers.length} layers, one at a ` +
    `time${worst ? ` · most sensitive: ${worst.node} (${(100 * worst.share).toFixed(0)} % of the sum)` : ''}`
  );
}

/** The error of each tensor; undefined where the recipe does not ask for it. */
export async function analyseLayers(
  v: WrittenVariant,
  data: AnalysisData,
  o: Pick<LookInput, 'onEvent' | 'signal'>,
): Promise<LayerErrors | undefined> {
  const { layers, threads } = v.recipe.recipe.evaluation;
  if (layers === false) return undefined;
  return measureLayers({
    float: v.float,
    quantized: v.written,
    tensors: v.tensors,
    batches: data.singles,
    samples: layers.samples,
    threads,
    ...o,
  });
}
export function layersText({ tensors }: LayerErrors): string {
  const worst = [...tensors].sort((a, b) => (a.sqnrDb ?? Infinity) - (b.sqnrDb ?? Infinity))[0];
  return (
    `${tensors.length} ` +
    `tensors${worst?.sqnrDb === undefined ? '' : ` · worst: ${worst.node} SQNR ${worst.sqnrDb.toFixed(1)} dB`}`
  );
}

/** Time of each node, and whether optimizations change results. `feed` holds the inputs of one sample. */
export async function analyseKernels(
  v: WrittenVariant,
  data: AnalysisData | undefined,
  feed: Feed,
  o: Pick<LookInput, 'signal' | 'inputs'>,
): Promise<Pick<RuntimeFacts, 'profile' | 'optimizations'>> {
  const { profile, latency } = v.recipe.recipe.evaluation;
  if (profile === false) return {};
  const threads = latency === false ? 1 : latency.threads;
  const sized = atBatch(feed, o.inputs, latency === false ? 1 : latency.batch);
  const times = await profilePair({
    float: v.float,
    quantized: v.folder.model,
    nodes: v.nodes,
    feed: sized,
    runs: profile.runs,
    threads,
    signal: o.signal,
  });
  const optimizations =
    data &&
    (await optimizationDifference({ quantized: v.folder.model, batches: data.batches, threads, signal: o.signal }));
  return { profile: times, ...(optimizations ? { optimizations } : {}) };
}
