/** BatchNormalization by statistics of the batch. */
import type { Node, Value } from '../ir/graph.js';
import { nameMaker, type Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { nameOutputs } from './outputs.js';

/**
 * Makes every BatchNormalization that depends on `wrt` take the statistics of the batch, and return them beside its
 * result: with momentum 0 the running statistics are those of the last batch. Gives the nodes: the rule of gradients
 * reads them in this form, and {@link computeStatistics} spells them out afterwards.
 */
export function useBatchStatistics(model: Model, wrt: readonly Value[]): Node[] {
  const freeName = nameMaker(model.graph);
  const order = model.graph.topological();
  const learned = new Set(wrt);
  for (const n of order) if (n.inputs.some((x) => x && learned.has(x))) for (const y of n.outputs) learned.add(y);
  // Others are those of a teacher, or of layers that stay as they are.
  const nodes = order.filter(
    (n) => n.op === 'BatchNormalization' && n.domain === '' && n.inputs.some((x) => x && learned.has(x)),
  );
  for (const node of nodes) {
    node.setInt('training_mode', 1);
    node.setFloat('momentum', 0);
    nameOutputs(model, node, 3, freeName);
  }
  return nodes;
}

/**
 * Computes the statistics of the nodes by reductions, and normalises by them as at inference. onnxruntime 1.30.0 gives
 * wrong results in training mode where running statistics are initializers and the new ones are used within the graph:
 * it takes one's memory for the other. The variance is that of differences from the mean, which cancels no digits.
 * Gives the statistics by `batch of NAME`, NAME those of the running ones.
 */
export function computeStatistics(model: Model, nodes: readonly Node[]): Map<string, Value> {
  const { graph } = model;
  const b = new GraphBuilder(model);
  const moments = new Map<string, Value>();
  for (const node of nodes) {
    const [x, scale, bias, runningMean, runningVariance] = node.inputs;
    const [y, mean, variance] = node.outputs;
    if (!x?.shape || !scale || !bias || !y || !mean || !variance) continue;
    const name = y.name;
    const axes = x.shape.flatMap((_, a) => (a === 1 ? [] : [a]));
    const vector = b.constant(Tensor.i64([-1]), `${name}_channels`);
    const meanOver = (v: Value, what: string): Value =>
      b.overAxes('ReduceMean', v, axes, { attrs: { keepdims: 1 }, name: `${name}_${what}` });
    const flat = (v: Value): Value => b.op('Reshape', [v, vector], { name: `${name}_statistic` });
    const middle = meanOver(x, 'mean');
    const difference = b.op('Sub', [x, middle], { name: `${name}_difference` });
    const squares = b.op('Mul', [difference, difference], { name: `${name}_squares` });
    const [mu, sigma] = [flat(middle), flat(meanOver(squares, 'variance'))];
    const epsilon = node.float('epsilon', 1e-5);
    const made = b.op('BatchNormalization', [x, scale, bias, mu, sigma], { attrs: { epsilon }, name });
    made.shape = y.shape;
    for (const [old, value] of [
      [y, made],
      [mean, mu],
      [variance, sigma],
    ] as const) {
      graph.replaceUses(old, value);
      old.name = b.freeName(`${name}_before`);
    }
    graph.remove(node);
    made.name = name; // what others know it by
    if (runningMean) moments.set(`batch of ${runningMean.name}`, mu);
    if (runningVariance) moments.set(`batch of ${runningVariance.name}`, sigma);
  }
  return moments;
}
