/** Codes of weights that count errors by what calibration samples show of inputs. */
import { feedsOf } from '../data/batch.js';
import { repeatable } from '../analyse/samples.js';
import { byName, item } from '../base/lists.js';
import { createRng } from '../base/rng.js';
import { takesAnyBatch } from '../calibrate/rows.js';
import { layerShape, type LayerShape } from '../channels/layer.js';
import { importanceOf, inputEnergies, type InputEnergies } from '../codes/energies.js';
import { cloneModel } from '../ir/clone.js';
import type { Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import { codings } from '../scheme/codings/index.js';
import { decode, matrixOf, rowMajor } from '../scheme/codings/matrix.js';
import type { Coded, Coding } from '../scheme/codings/types.js';
import type { QuantPoint } from '../scheme/types.js';
import { calibrationBatches, type Surroundings } from './adjust.js';
import type { AssignedVariant, RefinedVariant } from './variant/types.js';

/** Layers of a model with the constant weights that pass a test, and what their inputs are. */
export interface MeasuredLayers {
  readonly layers: ReadonlyMap<Value, LayerShape>;
  readonly energies: ReadonlyMap<Value, InputEnergies>;
}

/** Throws DATA_MISSING where the recipe names no calibration data, for `what`. */
export async function measureLayers(
  { model, recipe }: { readonly model: Model; readonly recipe: ResolvedRecipe },
  wanted: (weight: Value) => boolean,
  what: string,
  o: Surroundings,
): Promise<MeasuredLayers> {
  const shapes = model.graph.topological().flatMap((n) => layerShape(n) ?? []);
  const layers = new Map(shapes.filter((l) => wanted(l.weight)).map((l) => [l.weight, l]));
  const { samples } = recipe.recipe.quantize.weights;
  if (!layers.size) return { layers, energies: new Map() };
  const kept = repeatable(() => calibrationBatches(recipe, o, samples, what), samples, {
    shrink: takesAnyBatch(model),
    signal: o.signal,
  });
  const { threads } = recipe.recipe.calibration;
  return {
    layers,
    energies: await inputEnergies({ model, feeds: () => feedsOf(kept()), threads, ...o }, [...layers.values()]),
  };
}

/** Chooses the codes of all weights that codings store. Gives a line about it too. */
export async function encodeVariant(
  v: AssignedVariant,
  o: Surroundings,
): Promise<{ readonly refined: RefinedVariant; readonly line: string }> {
  const coded = new Map<QuantPoint, Coded>();
  const points = [...v.prepared.planned.plan].flatMap(([point, spec]) =>
    spec.kind === 'coded' && 'uses' in point && point.data ? [{ point, spec }] : [],
  );
  const codingOf = (name: string): Coding<unknown> => byName(codings, name);
  const weighs = new Set(
    points.flatMap((p) => (codingOf(p.spec.coding).weighsInputs?.(p.spec.options) ? p.point : [])),
  );
  const { seed, weights } = v.recipe.recipe.quantize;
  const corrects = weights.correct.includes('bias');
  const wanted = corrects ? new Set(points.map((p) => p.point)) : weighs;
  const { layers, energies } = await measureLayers(v, (w) => wanted.has(w), 'quantize.coding with data', o);
  const float = cloneModel(v.model).model; // biases change in place
  let corrected = 0;
  const rng = createRng(seed, 'rounding');
  for (const { point, spec } of points) {
    const { dims } = dataOf(point);
    const [layer, seen] = [layers.get(point), energies.get(point)];
    const importance =
      layer && seen && weighs.has(point) ? rowMajor(matrixOf(importanceOf(layer, seen), dims, spec.axis)) : undefined;
    const matrix = matrixOf(dataOf(point).f32(), dims, spec.axis);
    const made = codingOf(spec.coding).encode(matrix, spec.options, rng, importance);
    coded.set(point, made);
    if (corrects && layer && seen && correctBias(layer, seen, decode(made, matrix))) corrected++;
  }
  return {
    refined: { ...v, float, coded },
    line:
      `${[...weighs].filter((w) => energies.has(w)).length} of ${points.length} weights by their inputs` +
      (corrected ? ` · ${corrected} biases corrected` : ''),
  };
}

/**
 * What other weights give on average less than those of a layer goes into its bias, in place. False where it has none.
 */
export function correctBias(
  layer: LayerShape,
  { means }: InputEnergies,
  weights: ArrayLike<number>,
  before: ArrayLike<number> = dataOf(layer.weight).f32(),
): boolean {
  const { bias, groups, rows, columns } = layer;
  if (!bias) return false;
  const given = dataOf(bias);
  const made = given.f64();
  if (made.length !== groups * rows) return false;
  for (let g = 0; g < groups; g++)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) {
        const at = g * layer.groupStride + r * layer.rowStride + c * layer.columnStride;
        made[g * rows + r] =
          item(made, g * rows + r) + (item(before, at) - item(weights, at)) * item(means, g * columns + c);
      }
  bias.data = Tensor.f32(Float32Array.from(made), given.dims);
  return true;
}
