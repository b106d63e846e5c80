/** Weights as before any training. */
import { createRng } from '../../base/rng.js';
import { item } from '../../base/lists.js';
import { encodeTensor } from '../../ir/encode.js';
import type { Use, Value } from '../../ir/graph.js';
import { dataOf } from '../../ir/known.js';
import type { Model } from '../../ir/model.js';
import type { LinearView } from '../../ops/facets.js';
import { linearViews } from '../../ops/index.js';
import { isBatchNormalization, joins } from '../../ops/kinds.js';
import { parametersOf } from '../parameters.js';

/**
 * Draws all weights anew, in place: those of layers normal with variance 2 / inputs, so that signals keep their size
 * through rectifiers; biases 0; factors of normalisations 1; tables normal with deviation 0.02. Running statistics
 * start at mean 0 and variance 1. source: https://arxiv.org/abs/1502.01852
 */
export function drawWeights(model: Model, seed: number): void {
  const wanted = new Set(parametersOf(model));
  for (const v of model.graph.initializers) {
    const use = [...v.uses].find((u) => viewOf(u) !== undefined || isBatchNormalization(u.node));
    const running = use && isBatchNormalization(use.node) && use.index >= 3;
    if (!running && !wanted.has(v.name)) continue;
    const { dims, size, dtype } = dataOf(v);
    const rng = createRng(seed, `weights ${v.name}`);
    const deviation = running || !use ? undefined : deviationOf(v, use);
    const constant = running ? use.index - 3 : startOf(v, use);
    const values = Float64Array.from({ length: size }, () =>
      deviation === undefined ? constant : deviation * rng.normal(),
    );
    v.data = encodeTensor(dtype, dims, values);
  }
}

const viewOf = ({ node, index }: Use): LinearView | undefined =>
  linearViews(node).find((view) => view.weight === index || view.bias === index);

/** Standard deviation of what is drawn; undefined for what starts at a constant. */
function deviationOf(v: Value, use: Use): number | undefined {
  const view = viewOf(use);
  if (!view || view.weight !== use.index || view.kind === 'scale') return undefined;
  if (view.kind === 'lookup') return 0.02;
  const { dims, size } = dataOf(v);
  return Math.sqrt(2 / (size / item(dims, view.outputAxis)));
}
/** 1 for factors, 0 for what is added; other operands, such as slopes, start at the mean of what they were. */
function startOf(v: Value, use: Use | undefined): number {
  if (use) return viewOf(use)?.kind === 'scale' && viewOf(use)?.weight === use.index ? 1 : 0;
  if ([...v.uses].some((u) => joins(u.node) === 'added')) return 0;
  const values = dataOf(v).f64();
  return values.reduce((n, x) => n + x, 0) / Math.max(1, values.length);
}
