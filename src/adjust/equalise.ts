import { z } from 'zod';
import { channelSets } from '../channels/groups.js';
import { Weights } from '../channels/scaling.js';
import type { Adjustment } from './types.js';

const options = z.strictObject({
  rounds: z
    .number()
    .int()
    .positive()
    .default(40)
    .describe('Most rounds over all channels; it stops once a round moves none by more than 0.1 %.'),
});

/**
 * Cross-layer equalisation: each channel is scaled so that the weights that make it and the weights that read it have
 * the same largest magnitude, s = √(r_in / r_out) with r the largest over all producers and all consumers. Exact, as
 * the ops between are homogeneous: Relu family, pooling, sums (residual groups share their scales), Concat, Slice, Pad.
 * Repeated until it settles, for each scaling changes what the neighbours see. source: Nagel et al. 2019,
 * https://arxiv.org/abs/1906.04721, section 4.1
 */
export const equalise = {
  name: 'equalise',
  doc:
    'Scales channels so that the weights before and after them have equal ranges (cross-layer equalisation). ' +
    'Needs no data; changes no result.',
  options,
  needsData: false,
  run({ model, moments }, { rounds }) {
    const sets = channelSets(model);
    const weights = new Weights(moments);
    let done = 0;
    const moved = new Set<number>();
    for (let change = Infinity; done < rounds && change > 1e-3; done++) {
      change = 0;
      for (const [i, set] of sets.entries()) {
        const made = Math.max(...set.producers.map((s) => weights.largest(s)));
        const read = Math.max(...set.consumers.map((s) => weights.largest(s)));
        const by = Math.sqrt(read / made);
        // a channel without weights on one side is dead: any scale is as good
        if (!(by > 0) || !Number.isFinite(by)) continue;
        change = Math.max(change, Math.abs(Math.log(by)));
        if (Math.abs(Math.log(by)) > 1e-9) {
          weights.rescale(set, by);
          moved.add(i);
        }
      }
    }
    weights.commit();
    const layers = new Set(sets.flatMap((s) => s.producers.map((p) => p.node)));
    return Promise.resolve(`${moved.size} channels of ${layers.size} layers in ${done} round${done === 1 ? '' : 's'}`);
  },
} satisfies Adjustment<z.output<typeof options>>;
