import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { computeStatistics, useBatchStatistics } from './batch-norm.js';
import { prepare, valuesOf } from './prepare.js';
import { dropUnread } from '../rewrite/unreached.js';
import type { GradientOptions } from './types.js';
import { backward } from './walk.js';

/**
 * A model that computes what `model` does as far as the loss depends on it, and the gradients of the loss: an ordinary
 * ONNX model of standard operators, to be saved, looked at and run anywhere. Its outputs are `options.outputs`, the
 * loss, the statistics of batches where they are asked for, and `gradient of NAME` for each NAME of `options.wrt`, of
 * the shape and type of that value. The model given stays as it is; its opset is raised to 18 in the result where it is
 * older. Gradients may be taken of the result again.
 *
 * Throws GRADIENT_UNKNOWN_NAME, GRADIENT_INVALID and GRADIENT_UNSUPPORTED, each before anything runs; with several
 * operators that have no rule, `more` has the others. Source: reverse accumulation,
 * https://jmlr.org/papers/v18/17-468.html
 */
export function gradients(model: Model, options: GradientOptions): Model {
  const prepared = prepare(model, options);
  const { graph } = prepared.model;
  const normalising = options.batchNorm === 'batch' ? useBatchStatistics(prepared.model, prepared.wrt) : [];
  const forward = new Set(graph.nodes);
  const found = backward(prepared, options.rounding === 'straight-through');
  const moments = computeStatistics(prepared.model, normalising);
  const builder = new GraphBuilder(prepared.model);
  const taken = new Set(valuesOf(prepared.model).keys());
  const give = (value: Value, wanted: string): void => {
    let name = wanted;
    for (let i = 1; taken.has(name); i++) name = `${wanted}_${i}`;
    taken.add(name);
    const own = value.producer && !forward.has(value.producer) && !value.isGraphOutput;
    if (own) value.name = name;
    graph.addOutput(own ? value : builder.op('Identity', [value], { name, outputs: [name] }));
  };
  for (const [name, value] of moments) give(value, name);
  found.forEach((value, i) => give(value, `gradient of ${options.wrt[i] ?? ''}`));
  dropUnread(graph); // running statistics, which no step reads
  return prepared.model;
}
