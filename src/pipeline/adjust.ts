/** The changes that a recipe makes to the float model and to its weights, with the recipe's own calibration samples. */
import { byName } from '../base/lists.js';
import { fail, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { adjustments } from '../adjust/index.js';
import { quantizeLayerwise } from '../codes/run.js';
import type { Layerwise, WeightMethod } from '../codes/types.js';
import { expectedMoments } from '../channels/moments.js';
import type { AdjustContext, LayerSchemes } from '../adjust/types.js';
import { repeatable } from '../analyse/samples.js';
import { takesAnyBatch } from '../calibrate/rows.js';
import { batches, type Batch, feedsOf, inTurn } from '../data/batch.js';
import { cloneModel } from '../ir/clone.js';
import type { ValueInfo } from '../ir/feed.js';
import type { Node } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import { specOf } from '../ops/index.js';
import { inferShapes } from '../ops/infer.js';
import { overridesOf } from '../quantize/overrides.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { Recipe } from '../recipe/schema.js';
import { openData } from './calibration.js';
import { decoderOf, ownText } from './own-text.js';
import { schemeOf } from '../quantize/unsaturated.js';
import type { QuantScheme } from '../scheme/types.js';
import { methodAt, overrideOf } from './layer-override.js';
import { planModel } from './prepare.js';
import { journalOf } from './weight-journal.js';
import type { AssignedVariant } from './variant/types.js';

export interface Surroundings {
  readonly inputs: readonly ValueInfo[];
  readonly report: (d: Diagnostic) => void;
  readonly onEvent: OnEvent;
  readonly signal?: AbortSignal;
}

/**
 * Makes one change of the list. The model is changed in place. Gives one line about it. Throws DATA_* and what the
 * change throws.
 */
export async function adjustModel(
  model: Model,
  named: Recipe['adjust'][number],
  o: Surroundings & { readonly moments: AdjustContext['moments']; readonly recipe: ResolvedRecipe },
): Promise<string> {
  const { name, ...options } = named;
  const adjustment = byName(adjustments, name);
  const before = fingerprint(model);
  const line = await adjustment.run(
    {
      model,
      moments: o.moments,
      threads: o.recipe.recipe.calibration.threads,
      report: o.report,
      onEvent: o.onEvent,
      signal: o.signal,
      batches: () => calibrationBatches(o.recipe, o, Infinity, name),
      schemesOf: schemesOf(model, o.recipe),
    },
    options,
  );
  inferShapes(model);
  if (fingerprint(model).every((part, i) => part === before[i]))
    o.report({
      severity: 'warning',
      code: 'ADJUST_NOTHING',
      message: `adjust: ${name} changed nothing: ${line}`,
      hint: 'leave it out, or see docs/methods.md for the graphs that it knows',
    });
  return line;
}

/** What a change of a model changes: nodes, what they read, and the tensors of its constants. */
const fingerprint = (model: Model): readonly unknown[] =>
  [...allGraphs(model.graph)].flatMap((g) => [
    ...[...g.nodes].flatMap((n) => [n, ...n.inputs]),
    ...[...g.initializers].flatMap((v) => [v, v.data]),
    g.nodes.size,
  ]);

/** Onnxruntime measures the range of each run. */
const DYNAMIC: QuantScheme = { dtype: 'uint8', symmetric: false, granularity: { kind: 'tensor' } };

/** How a recipe quantizes the layers of a model, planned on a copy when it is first asked. */
function schemesOf(model: Model, { recipe, plugins }: ResolvedRecipe): (layer: Node) => LayerSchemes {
  let planned:
    | {
        readonly made: ReturnType<typeof planModel>['planned'];
        readonly nodes: ReadonlyMap<Node, Node>;
        readonly dynamic: boolean;
      }
    | undefined;
  return (layer) => {
    if (!planned) {
      const copy = cloneModel(model);
      // said when the adjusted model is planned
      const { planned: made, format } = planModel(copy.model, recipe, () => undefined, plugins);
      planned = { made, nodes: copy.nodes, dynamic: format.plan === 'dynamic' };
    }
    const {
      made: { plan, integerNodes },
      nodes,
      dynamic,
    } = planned;
    const own = nodes.get(layer)!; // the caller asks for nodes of the model
    const schemeAt = (index: number): QuantScheme | undefined => {
      const [v, use] = [own.inputs[index], own.use(index)];
      // an edge of its own comes before what others share
      return v ? schemeOf(plan, use && plan.has(use) ? use : v) : undefined;
    };
    return { activations: dynamic ? (integerNodes.has(own) ? DYNAMIC : undefined) : schemeAt(0), weights: schemeAt(1) };
  };
}

export interface ChoosingOptions {
  readonly moments: AdjustContext['moments'];
  /** Of the model and its data; asked only where work is written down. */
  readonly contentSha256: () => string;
}

/** Chooses the codes of a variant's weights. Throws DATA_MISSING where the recipe names no calibration data. */
export async function chooseWeights(
  v: AssignedVariant,
  reference: ReturnType<typeof cloneModel>,
  { moments, contentSha256, ...o }: Surroundings & ChoosingOptions,
): Promise<Layerwise> {
  const {
    quantize: { weights: w },
    calibration,
  } = v.recipe.recipe;
  const { name, ...methodOptions } = w.method;
  const { weightMethods } = v.recipe.plugins;
  const method = byName(weightMethods, name);
  const layers = v.recipe.recipe.quantize.layers.map(overrideOf);
  const graph = v.model.graph;
  const own = overridesOf(
    graph,
    layers,
    graph.topological().filter((n) => specOf(n)?.quant.role === 'compute'),
  );
  const kept = repeatable(() => calibrationBatches(v.recipe, o, w.samples, `weights.method: ${name}`), w.samples, {
    shrink: takesAnyBatch(v.model),
    signal: o.signal,
  });
  const methodOf = (n: Node): { method: WeightMethod; options: unknown } | undefined => {
    const chosen = methodAt(n, own, layers);
    return chosen && { method: byName(weightMethods, chosen.name), options: chosen.options };
  };
  const asks =
    !calibration.data && [method, ...[...own.keys()].map((n) => methodOf(n)?.method)].some((m) => m?.ownText);
  const decoder = asks ? decoderOf(reference.model) : undefined;
  const written = decoder && (await ownText(reference.model, decoder, { ...OWN_TEXT, ...calibration, ...o }));
  const feeds = written ? () => inTurn(written) : () => feedsOf(kept());
  const hasInputs = calibration.data !== undefined || written !== undefined;
  return quantizeLayerwise({
    journal: hasInputs ? await journalOf(v, contentSha256, feeds) : undefined,
    model: v.model,
    reference,
    planned: v.prepared.planned,
    packings: v.prepared.planned.packings,
    params: v.assigned.params,
    method,
    methodOptions,
    methodOf,
    damping: w.damping,
    matchFloat: w.match === 'float',
    hasInputs,
    correctBias: w.correct.includes('bias'),
    correctScale: w.correct.includes('scale'),
    expected: w.correct.includes('expected-bias') ? expectedMoments(v.model, moments) : undefined,
    threads: calibration.threads,
    feeds,
    samples: written ? OWN_TEXT.rows : w.samples,
    totalFeeds: written?.length ?? Math.ceil(w.samples / calibration.batchSize),
    ...o,
  });
}

/** What a decoder writes to calibrate with: 4,096 tokens. */
const OWN_TEXT = { rows: 32, length: 128 };

/** The calibration samples of a recipe, at most so many. Throws DATA_MISSING where it names none, for `what`. */
export async function* calibrationBatches(
  recipe: ResolvedRecipe,
  { inputs, signal }: Surroundings,
  samples: number,
  what: string,
): AsyncGenerator<Batch> {
  const { data, samples: most, batchSize } = recipe.recipe.calibration;
  if (!data)
    fail(
      'DATA_MISSING',
      `${what} looks at calibration samples, and the recipe names none`,
      {},
      'set calibration.data or pass --calibration-data',
    );
  // what it has to say is said when calibration reads the data
  const dataset = await openData(data, inputs, recipe, () => undefined);
  yield* batches(dataset.samples({ limit: Math.min(samples, most), ...(signal ? { signal } : {}) }), {
    size: batchSize,
    inputs,
    padding: dataset.padding,
  });
}
