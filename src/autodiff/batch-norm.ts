import { nameMaker, type Model, type Value } from '../ir/graph.js';
import { nameOutputs } from './outputs.js';

/**
 * Makes every BatchNormalization take the statistics of the batch, and return them beside its result: with momentum 0
 * the running statistics are those of the last batch. Gives the two by the name of the running ones, `batch of NAME`.
 */
export function useBatchStatistics(model: Model): Map<string, Value> {
  const freeName = nameMaker(model.graph);
  const moments = new Map<string, Value>();
  for (const node of model.graph.topological()) {
    if (node.op !== 'BatchNormalization' || node.domain !== '') continue;
    node.setInt('training_mode', 1);
    node.setFloat('momentum', 0);
    nameOutputs(model, node, 3, freeName);
    for (const i of [1, 2]) {
      const [y, running] = [node.outputs[i], node.inputs[i + 2]];
      if (y && running) moments.set(`batch of ${running.name}`, y);
    }
  }
  return moments;
}
