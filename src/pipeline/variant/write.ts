/** Trained → written: the model of the recipe's format, in the staging folder. */
import { byName } from '../../base/lists.js';
import { bytesText } from '../../base/text.js';
import { version } from '../../base/version.js';
import { saturatingLayers, saturationRisk } from '../../analyse/saturation.js';
import { pointFacts } from '../../facts/model.js';
import { coded } from '../../formats/coded.js';
import { quantizeCaches } from '../../formats/kv-cache.js';
import { writeModel, type Written } from '../../formats/write.js';
import type { Value } from '../../ir/graph.js';
import { assertValid } from '../../ir/verify.js';
import { saveModel, type SaveOptions } from '../../onnx/files.js';
import { forgetInferred } from '../../ops/infer.js';
import { planCoded } from '../../quantize/planners/coded.js';
import { assertScales } from '../../quantize/validate.js';
import { environment } from '../../runtime/environment.js';
import type { QuantizedGraph } from '../../scheme/quantized.js';
import type { Feed } from '../../ir/feed.js';
import type { SparsityFacts } from '../../record/sparsity.js';
import { writesInPieces } from '../large.js';
import { assertFinite, restOf } from '../prepare.js';
import { sparsityFacts } from '../sparsity.js';
import { storeOf, storeWithoutZeros } from './store.js';
import type { TrainedVariant, WrittenVariant } from './types.js';

/** All that was decided, as formats and emitters write it. */
export const graphOf = (v: TrainedVariant): QuantizedGraph => ({
  model: v.model,
  planned: v.prepared.planned,
  params: v.assigned.params,
  stats: v.stats,
  ...(v.coded ? { coded: v.coded } : {}),
  ...(v.lowRank ? { lowRank: v.lowRank } : {}),
  seed: v.recipe.recipe.quantize.seed,
});

/** The model as it goes into a file. Throws what the format throws where it cannot express the plan. */
export function quantizedModel(
  v: TrainedVariant,
  report: TrainedVariant['report'],
): Written & { readonly stored: number } {
  const { format, target } = v.prepared;
  assertScales(v.assigned.params, target);
  const made = writeModel(format, graphOf(v), target, report);
  const stored = storeRest(v, made);
  const { model } = made;
  if (v.caches) quantizeCaches(model, v.caches.scales, v.caches.form);
  model.producerName = 'quantbench';
  model.producerVersion = version;
  assertValid(model);
  forgetInferred(model); // onnxruntime infers them again; in the file they only cost bytes
  return { ...made, stored };
}

/**
 * Writes the model. Gives a line about it too. `feed` is what it may be tried with. Throws what the
 * format throws where it
 * cannot express the plan.
 */
export async function writeVariant(
  v: TrainedVariant,
  feed: () => Promise<Feed>,
): Promise<{ readonly written: WrittenVariant; readonly line: string }> {
  const { planned, format, target } = v.prepared;
  const { params } = v.assigned;
  const exposed = { model: v.model, planned, params, promised: target.u8s8 === 'exact' };
  const saturation = saturationRisk({ ...exposed, environment: environment() });
  if (writesInPieces(v.model, v.recipe.recipe)) assertFinite(keptWeights(v), v.recipe.recipe.model ?? '');
  const { model, tensors, changes, stored } = quantizedModel(v, v.report);
  const whole = { model, tensors, file: v.folder.model };
  const external = saveModel(model, v.folder.model, savingOf(v)).files.length > 1;
  const without = external ? undefined : await storeWithoutZeros(v, whole, feed);
  const exported = exportFiles(graphOf(v), v);
  const rest = stored ? `, ${stored} weights stored otherwise` : '';
  return {
    written: {
      ...v,
      written: without?.model ?? model,
      tensors: without?.tensors ?? tensors,
      ...sparsityOfWritten(v, without?.storage),
      saturation,
      saturating: saturation.risk === 'none' ? [] : saturatingLayers(exposed),
      points: pointFacts(planned, v.stats, v.assigned),
    },
    line: `${format.name} form, ${changes} nodes rewritten${rest} · ${bytesText(v.folder.bytes())}${zeros(without?.storage)}${exported}`,
  };
}

/** Those that are not looked at while they are written. */
const keptWeights = ({ model, assigned: { params } }: TrainedVariant): Value[] =>
  [...model.graph.initializers].filter((w) => !params.get(w)?.later);

/** Weights that are made while they are written lie beside the model, where runtimes map them. */
const savingOf = ({ model, recipe: { recipe } }: TrainedVariant): SaveOptions => ({
  externalData: recipe.export.externalData === 'always' || writesInPieces(model, recipe) ? 'always' : 'auto',
  ...(recipe.export.shardSize === undefined ? {} : { shardBytes: recipe.export.shardSize }),
});

type Storage = NonNullable<SparsityFacts['storage']> | undefined;

/**
 * Of the float model that was written: codes of zero weights mean zero, and those that rounding adds
 * are not counted.
 */
function sparsityOfWritten(v: TrainedVariant, storage: Storage): { sparsity?: SparsityFacts } {
  const { sparsity } = storeOf(v.recipe) === 'dense' ? {} : sparsityFacts(v.training ? v.model : v.float);
  return sparsity ? { sparsity: { ...sparsity, ...(storage ? { storage } : {}) } } : {};
}

const zeros = (s: Storage): string =>
  s ? `, ${s.mask + s.sparse} weights without their zeros (${bytesText(s.denseBytes)} with them)` : '';

/** What the recipe's exporters make of it. Gives what to say of that. */
function exportFiles(graph: QuantizedGraph, { folder, recipe: { recipe, plugins } }: TrainedVariant): string {
  const named = recipe.exports ?? [];
  for (const { name, ...options } of named) {
    const exporter = byName(plugins.exporters, name);
    for (const file of exporter.export(graph, options)) folder.add(file, name);
  }
  return named.length ? ` · ${named.map((n) => n.name).join(', ')} beside it` : '';
}

/** Stores the weights that the format left in float32 as the recipe says. Gives how many. */
function storeRest({ prepared, recipe: { recipe } }: TrainedVariant, { model, nodeOf }: Written): number {
  const { planned, format, target } = prepared;
  const { seed, rest: given } = recipe.quantize;
  const rest = restOf(recipe, format);
  if (!rest) return 0;
  // Nobody asked for it: what the recipe leaves out stays as it is.
  const left = [...planned.floatNodes].flatMap(([n, why]) =>
    /^(excluded|not included) by the recipe/.test(why) ? nodeOf(n) : [],
  );
  const { name: coding, options, least } = rest;
  const plan = planCoded(model, {
    coding,
    options,
    least,
    kept: new Set(given ? [] : left),
    include: [],
    exclude: [],
  });
  return plan.plan.size ? coded.rewrite({ model, planned: plan, params: new Map(), target, seed }).changes : 0;
}
