/** What of a model is learned. */
import { fail } from '../base/errors.js';
import { globTest, regExpTest } from '../base/match.js';
import type { Node, Use, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { linearViews } from '../ops/index.js';
import { isDequantize, learnsOperand } from '../ops/kinds.js';

/**
 * Names of the initializers that training changes, in the order of the model: weights and biases of layers, factors of
 * normalisations, tables, what weights are made of, and constants that are added to or multiplied with what a layer
 * made. Running statistics, single numbers and what prepares the inputs are none. `frozen` are names or patterns of
 * those that stay.
 *
 * Throws RECIPE_UNKNOWN_NAME for a name or pattern that fits none, GRADIENT_INVALID where nothing is left.
 */
export function parametersOf(model: Model, frozen: readonly string[] = []): string[] {
  const { graph } = model;
  const nodes = graph.topological();
  const layered = behindLayers(nodes);
  const making = makersOfWeights(nodes);
  const learned = (v: Value): boolean =>
    (v.data?.dtype === 'float32' || v.data?.dtype === 'float64') &&
    v.data.size > 1 &&
    [...v.uses].some(
      (u) =>
        isWeight(u) || making.has(u.node) || (learnsOperand(u.node) && u.node.inputs.some((x) => x && layered.has(x))),
    );
  const all = [...graph.initializers].filter(learned).map((v) => v.name);
  const tests = frozen.map((pattern) => ({
    pattern,
    test: pattern.startsWith('re:') ? regExpTest(pattern.slice(3)) : globTest(pattern),
  }));
  for (const { pattern, test } of tests)
    if (!all.some(test))
      fail(
        'RECIPE_UNKNOWN_NAME',
        `freeze: '${pattern}' fits no weight`,
        { tensor: pattern },
        `there are ${all.join(', ')}`,
      );
  const left = all.filter((name) => !tests.some(({ test }) => test(name)));
  if (!left.length)
    fail(
      'GRADIENT_INVALID',
      all.length ? 'all weights are frozen' : 'the model has no weights that could be learned',
      {},
      'training changes initializers of type float32 or float64',
    );
  return left;
}

/** Weight or bias of a layer, a table, or a factor of a normalisation. */
const isWeight = ({ node, index }: Use): boolean =>
  linearViews(node).some((view) => view.weight === index || view.bias === index);

/** Results that depend on the weight of a layer. */
function behindLayers(nodes: readonly Node[]): ReadonlySet<Value> {
  const found = new Set<Value>();
  for (const node of nodes) {
    const layer = linearViews(node).some((view) => view.kind !== 'scale');
    if (layer || node.inputs.some((x) => x && found.has(x))) for (const y of node.outputs) found.add(y);
  }
  return found;
}

/** Nodes that make weights of constants alone. */
function makersOfWeights(nodes: readonly Node[]): ReadonlySet<Node> {
  const constant = new Set<Node>();
  for (const node of nodes)
    if (
      !isDequantize(node) && // scales are learned where quantization is
      node.inputs.every((x) => !x || x.isInitializer || (x.producer !== undefined && constant.has(x.producer)))
    )
      constant.add(node);
  const making = new Set<Node>();
  for (const node of nodes.toReversed())
    if (constant.has(node) && node.outputs.some((y) => [...y.uses].some((u) => isWeight(u) || making.has(u.node))))
      making.add(node);
  return making;
}

/** Those that weight decay leaves alone: biases and factors of normalisations, which have one axis that is not 1. */
export function withoutDecay(model: Model, parameters: readonly string[]): string[] {
  const wanted = new Set(parameters);
  return [...model.graph.initializers]
    .filter((v) => wanted.has(v.name) && (v.data?.dims.filter((d) => d !== 1).length ?? 0) <= 1)
    .map((v) => v.name);
}
