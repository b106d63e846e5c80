/** What BatchNormalization says of the tensors that it gives: taken before it is folded away. */
import { allGraphs, type Model } from '../ir/graph.js';
import type { ChannelMoments } from './types.js';

/** By output name: mean β and standard deviation |γ| of each channel, as training saw them. Constants only. */
export function batchNormMoments(model: Model): Map<string, ChannelMoments> {
  const found = new Map<string, ChannelMoments>();
  for (const g of allGraphs(model.graph)) {
    for (const n of g.nodes) {
      const [gamma, beta] = [n.inputs[1]?.data, n.inputs[2]?.data];
      if (n.op === 'BatchNormalization' && n.domain === '' && gamma && beta && n.outputs[0]) found.set(n.outputs[0].name, { mean: beta.f64().slice(), deviation: gamma.f64().map(Math.abs) });
    }
  }
  return found;
}
