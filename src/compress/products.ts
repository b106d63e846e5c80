/** Products with large constant matrices, which ways to make models smaller choose from. */
import { item } from '../base/lists.js';
import { nameTest } from '../base/match.js';
import { layerShape, type LayerShape } from '../channels/layer.js';
import type { Model } from '../ir/model.js';

/** Smaller matrices have nothing to save. */
const LEAST = 16;

/** In the order of the model; those that names choose, all without names. */
export function layersOf(
  model: Model,
  include: readonly string[] | undefined,
  wanted: (layer: LayerShape) => boolean,
): LayerShape[] {
  const tests = include?.map(nameTest);
  return model.graph
    .topological()
    .flatMap((n) => layerShape(n) ?? [])
    .filter((l) => wanted(l) && (!tests || tests.some((test) => test(l.node.name || item(l.node.outputs, 0).name))));
}

export const productsOf = (
  model: Model,
  include: readonly string[] | undefined,
  wanted: (layer: LayerShape) => boolean = () => true,
): LayerShape[] =>
  layersOf(model, include, (l) => l.view.kind === 'product' && l.rows >= LEAST && l.columns >= LEAST && wanted(l));
