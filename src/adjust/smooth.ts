import { item, named } from '../base/lists.js';
import { z } from 'zod';
import type { Value } from '../ir/graph.js';
import { fail } from '../base/errors.js';
import type { Feed } from '../ir/feed.js';
import { GraphBuilder } from '../rewrite/builder.js';
import type { Range } from '../scheme/types.js';
import { Weights } from '../channels/scaling.js';
import { channelRanges } from './smoothing/ranges.js';
import { insertMul } from './smoothing/insert.js';
import { layerErrors } from './smoothing/search.js';
import { smoothUnits, type SmoothUnit } from './smoothing/units.js';
import type { AdjustContext, Adjustment } from './types.js';

const GRID = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] as const;

const options = z.strictObject({
  alpha: z
    .union([z.number().min(0).max(1), z.literal('search')])
    .default('search')
    .describe(
      'How much of the range moves into the weights: a channel is divided by max|x|^α ÷ max|w|^(1−α). search ' +
        'tries 0.2 to 0.9 and takes for each layer what errs least.',
    ),
  insert: z
    .union([z.boolean(), z.literal('auto')])
    .default('auto')
    .describe(
      'Puts a Mul before layers whose input no weight before can scale (behind GELU, or a sum that others ' +
        "read): true, false, or auto, where it saves a quarter of the layer's error.",
    ),
  samples: z
    .number()
    .int()
    .positive()
    .default(32)
    .describe('Calibration samples that errors are measured on; ranges come from all of them.'),
});
type Options = z.output<typeof options>;

/** A Mul costs time, so it must save at least this share of the layer's squared error. */
const WORTH_A_MUL = 0.25;

/**
 * SmoothQuant: channels of a layer's input are divided by s = max|x|^α ÷ max|w|^(1−α), and its weights multiplied, so
 * that one scale for the whole tensor wastes less on channels that are much wider than the others. The division goes
 * into the weights before where every op between is homogeneous (products, LayerNormalization, Relu, sums), else into a
 * Mul. Exact in float. α is searched with the types that the recipe gives inputs and weights; layers whose inputs stay
 * float have nothing to win and are left alone. source: Xiao et al. 2023, https://arxiv.org/abs/2211.10438, equation 4
 */
export const smooth = {
  name: 'smooth',
  doc:
    'Divides wide channels of activations and multiplies the weights that read them (SmoothQuant), with α ' +
    'searched for each layer. Changes no result.',
  options,
  needsData: true,
  readsSchemes: true,
  async run(context, o) {
    const found = smoothUnits(context.model).filter((u) => u.sets !== undefined || o.insert !== false);
    if (!found.length) return 'no layer whose input can be scaled';
    const units = found.filter((u) =>
      u.inputs.some((i) => i.layers.some((n) => context.schemesOf(n).activations !== undefined)),
    );
    if (!units.length) return 'nothing to win: the recipe leaves the inputs of these layers in float';
    const ranges = await channelRanges(context, units);
    const feeds = await firstFeeds(context, o.samples);
    const weights = new Weights(context.moments);
    const alphas = o.alpha === 'search' ? GRID : [o.alpha];
    const tried = [
      units.map((u) => new Float64Array(u.factors).fill(1)),
      ...alphas.map((alpha) => units.map((u) => factorsOf(u, ranges, weights, alpha))),
    ];
    const errors: Float64Array[] = [];
    for (const factors of tried) {
      context.signal?.throwIfAborted();
      const before = errors.length * feeds.length;
      let run = 0;
      errors.push(
        await layerErrors({
          model: context.model,
          schemesOf: context.schemesOf,
          units,
          factors,
          ranges,
          feeds,
          threads: context.threads,
          onFeed: () => {
            context.signal?.throwIfAborted();
            run++;
            context.onEvent({
              type: 'progress',
              stage: 'smooth',
              done: before + run,
              total: tried.length * feeds.length,
            });
          },
        }),
      );
    }
    const b = new GraphBuilder(context.model);
    let [folded, inserted, before, after] = [0, 0, 0, 0];
    units.forEach((unit, u) => {
      const own = errors.map((e) => e[u]!); // one for each unit
      const plain = own[0]!; // of no scaling, the first that was tried
      let best = o.alpha === 'search' ? own.indexOf(Math.min(...own)) : 1;
      if (!unit.sets && o.insert === 'auto' && own[best]! > (1 - WORTH_A_MUL) * plain) best = 0;
      before += plain;
      after += own[best]!;
      if (best === 0) return;
      const factors = item(item(tried, best), u);
      if (unit.sets) {
        unit.sets.forEach((set, k) => {
          weights.rescale(set, 1 / factors[k]!);
        });
        folded++;
        return;
      } // one for each set
      insertMul(b, unit, factors, weights);
      inserted++;
    });
    weights.commit();
    const share =
      before > 0 ? ` · squared error of their layers ${Math.round((100 * (after - before)) / before)} %` : '';
    return `${folded + inserted} of ${units.length} inputs${inserted ? `, ${inserted} with a Mul` : ''}${share}`;
  },
} satisfies Adjustment<Options>;

/** Feeds of the first samples. Throws CALIBRATION_EMPTY where there is none. */
async function firstFeeds({ batches }: AdjustContext, samples: number): Promise<Feed[]> {
  const feeds: Feed[] = [];
  let seen = 0;
  for await (const batch of batches()) {
    feeds.push(...batch.feeds);
    seen += batch.samples.length;
    if (seen >= samples) break;
  }
  return feeds.length
    ? feeds
    : fail('CALIBRATION_EMPTY', 'the calibration data hold no sample', {}, 'check the path and the split of the data');
}

/** s of each factor, with a geometric mean of 1; 1 where a channel is always zero or nothing reads it. */
function factorsOf(unit: SmoothUnit, ranges: ReadonlyMap<Value, Range>, weights: Weights, alpha: number): Float64Array {
  const [x, w] = [new Float64Array(unit.factors), new Float64Array(unit.factors)];
  for (const { value, slabs, factor } of unit.inputs) {
    const { min, max } = named(ranges, value); // every input was observed
    factor.forEach((f, c) => {
      x[f] = Math.max(x[f]!, Math.abs(min[c]!), Math.abs(max[c]!)); // within the lists
      for (const s of item(slabs, c)) w[f] = Math.max(w[f]!, weights.largest(s)); // one list for each channel
    });
  }
  const logs = Float64Array.from(x, (most, f) =>
    most > 0 && w[f]! > 0 && Number.isFinite(most) ? alpha * Math.log(most) - (1 - alpha) * Math.log(w[f]!) : NaN,
  );
  const known = logs.filter((l) => !Number.isNaN(l));
  const mean = known.reduce((a, l) => a + l, 0) / Math.max(1, known.length);
  return logs.map((l) => (Number.isNaN(l) ? 1 : Math.exp(l - mean)));
}
