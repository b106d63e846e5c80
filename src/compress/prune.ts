import { byName } from '../base/lists.js';
import { z } from 'zod';
import { fail } from '../base/errors.js';
import { named as oneOf } from '../base/named.js';
import { familiesOf, type Family } from '../channels/families.js';
import { channelUnits, type ChannelUnit } from '../channels/removal.js';
import { amountOf, takeOut, type Ranked } from './amount.js';
import { cloneModel } from '../ir/clone.js';
import type { Model } from '../ir/model.js';
import { inferShapes } from '../ops/infer.js';
import { importances } from './importance/index.js';
import { l1 } from './importance/norms.js';
import type { Importance } from './importance/types.js';
import { pricesOf } from './prices.js';
import { refit } from './refit.js';
import { scanFamilies } from './scan.js';
import { selectUnits } from './select.js';
import type { CompressContext, Compression } from './types.js';
import { Work, type Amounts, type Quantity } from './work.js';

const share = z.number().gt(0).lt(1);
/** What a scan looks at where nothing else is said. */
const SCAN = { shares: [0.25, 0.5, 0.75], samples: 256 } as const;
const optionsWith = (known: readonly Importance[]) =>
  z.strictObject({
    left: z
      .strictObject({
        macs: share.describe('Of the multiply-accumulates.').optional(),
        parameters: share.describe('Of the elements of all constants.').optional(),
        size: share.describe('Of the bytes of the file.').optional(),
        latency: share
          .describe(
            'Of the time of a run in onnxruntime on this machine, measured in turn with the whole model: how many ' +
              'channels go depends on the machine; the line of the step tells the share of MACs, which gives the same ' +
              'model again.',
          )
          .optional(),
      })
      .refine(
        (t) => Object.values(t).filter((v) => v !== undefined).length === 1,
        'name one quantity: macs, parameters, size or latency',
      )
      .describe('What is left, as a share: { macs: 0.5 } halves the work.'),
    steps: z
      .number()
      .int()
      .min(1)
      .max(100)
      .default(1)
      .describe(
        'So many times, a part is taken out, what is left is fitted, and channels are scored anew: channels that others ' +
          'made up for matter more then.',
      ),
    importance: oneOf(
      'A measure of channels',
      importances,
      known.filter((i) => !importances.includes(i)),
    )
      .prefault('l1')
      .describe('What tells which channels matter; those of the smallest values go.'),
    scope: z
      .enum(['uniform', 'global', 'isomorphic', 'sensitivity'])
      .default('uniform')
      .describe(
        'uniform: each family of channels gives the same share; global: all compete, by importance relative to the mean ' +
          'of their family; isomorphic: families of the same structure compete so, and each kind of structure gives the ' +
          'same share; sensitivity: channels go where the scan measured the least loss for what they save.',
      ),
    scan: z
      .union([
        z.boolean(),
        z.strictObject({
          shares: z
            .array(share)
            .min(1)
            .default([...SCAN.shares])
            .describe('Of the channels of a family, its least important ones.'),
          samples: z.number().int().positive().default(SCAN.samples).describe('Of calibration, at most.'),
        }),
      ])
      .default(false)
      .describe(
        'Measures on calibration samples what the model loses without shares of each family alone, before anything is ' +
          'fitted: the first metric of the evaluation, where the samples have labels, and the change of the outputs. ' +
          'The report shows it. true: the defaults. scope: sensitivity always scans.',
      ),
    families: z
      .enum(['inner', 'all'])
      .default('inner')
      .describe(
        'Channels that may go. inner: those that stay inside of a block, such as the inner channels of residual blocks, ' +
          'heads of attention and neurons of feed-forward layers; all: also those of sums, such as the stream of a ' +
          'residual network, of which each that goes leaves many layers.',
      ),
    roundTo: z
      .number()
      .int()
      .positive()
      .default(1)
      .describe(
        'Families keep a multiple of so many channels, such as the 8 or 16 that kernels take at once; docs/pruning.md ' +
          'has measurements.',
      ),
    least: z.number().min(0).max(1).default(0.1).describe('Share of the channels of a family that stays at least.'),
    refit: z
      .boolean()
      .default(true)
      .describe(
        'Fits the weights that are left to what the whole model gives on calibration samples (least squares), layer after ' +
          'layer, without training. Left out where the recipe names no calibration data.',
      ),
    damping: z
      .number()
      .positive()
      .default(0.001)
      .describe('With refit, how strongly weights hold on to what they were, as a share of the mean energy of inputs.'),
    seed: z.number().int().min(0).default(0).describe('Seed of importances that draw.'),
  });
type Options = z.output<ReturnType<typeof optionsWith>>;

const scans = ({ scan, scope }: Options): boolean => scan !== false || scope === 'sensitivity';
const scanOf = ({ scan }: Options): { readonly shares: readonly number[]; readonly samples: number } =>
  typeof scan === 'boolean' ? SCAN : scan;

/**
 * Takes whole channels out: of the layers that make them, of those that read them, and of all between, so that what is
 * left is an ordinary smaller model. source: dependency groups, Fang et al. 2023, https://arxiv.org/abs/2301.12900;
 * least squares, He et al. 2017, https://arxiv.org/abs/1707.06168
 */
export const pruneWith = (known: readonly Importance[]): Compression<Options> => ({
  name: 'prune',
  doc: 'Takes the least important channels out, with everything that belongs to them: a smaller, faster ordinary model.',
  options: optionsWith(known),
  leaving: (share, objective) => ({ left: { [objective === 'latency' ? 'macs' : 'size']: share } }),
  requiresData: scans,
  async run(context, o) {
    const { model } = context;
    const before = new Work(model).left;
    const of = candidates(model, o.families).length;
    const { name, ...about } = o.importance;
    const asked = byName(known, name);
    // A dry run looks at no samples: how many channels go is all that it tells.
    const stands = context.dryRun === true && asked.needs === 'inputs';
    const rank = async (): Promise<Ranked> => {
      const { feeds, batches, threads, signal } = context;
      const units = candidates(model, o.families);
      const seen = { model, units, feeds, batches, threads, seed: o.seed, signal };
      return { units, scores: await (stands ? l1 : asked).score(seen, stands ? { of: 'makers' } : about) };
    };
    let ranked = await rank();
    const looked =
      scans(o) && !context.dryRun ? await scanFamilies(context, ranked.units, ranked.scores, scanOf(o)) : undefined;
    if (looked) context.onScan?.(looked);
    // A dry run has measured nothing.
    const scope = o.scope === 'sensitivity' && !looked ? 'uniform' : o.scope;
    let prices = looked && scope === 'sensitivity' ? pricesOf(looked) : undefined;
    const { quantity, left, said } = await amountOf(context, ranked, { ...o, scope, prices });
    let [taken, fitted] = [0, 0];
    for (let step = 1; step <= o.steps; step++) {
      const share = (left ** (step / o.steps) * before[quantity]) / new Work(model).left[quantity];
      if (share >= 1) continue;
      if (taken) {
        ranked = await rank();
        if (prices) prices = pricesOf(await scanFamilies(context, ranked.units, ranked.scores, scanOf(o)));
      }
      const gone = selectUnits(model, ranked.units, ranked.scores, { ...o, scope, prices, quantity, left: share });
      const reference = cloneModel(model).model;
      inferShapes(reference);
      takeOut(model, gone);
      taken += gone.length;
      fitted = o.refit && context.hasData ? await fit(context, reference, gone, o.damping) : 0;
    }
    return lineOf([taken, of], before, new Work(model).left, fitted, said);
  },
});
export const prune = pruneWith(importances);

function candidates(model: Model, families: Options['families']): ChannelUnit[] {
  const all = familiesOf(channelUnits(model));
  const inner = ({ summed }: Family): boolean => !summed;
  const found = (families === 'inner' ? all.filter(inner) : all).flatMap((f) => f.units);
  if (!found.length)
    fail(
      'MODEL_UNSUPPORTED',
      `the model has no ${all.length ? 'channels inside of blocks' : 'channels'} that could be taken out`,
      {},
      all.length ? 'families: all takes those of sums, too' : 'layers with constant weights have some',
    );
  return found;
}

async function fit(
  { model, feeds, threads, onEvent, signal }: CompressContext,
  reference: Model,
  units: readonly ChannelUnit[],
  damping: number,
): Promise<number> {
  const onLayer = (done: number, total: number): void =>
    onEvent({ type: 'progress', stage: 'prune', done, total, note: 'fitting what is left' });
  const gone = units.flatMap((u) => u.places);
  return refit({ model, reference, gone, feeds, damping, threads, onLayer, signal });
}

function lineOf([taken, of]: readonly [number, number], a: Amounts, b: Amounts, fitted: number, said: string): string {
  const part = (key: Quantity): string => (b[key] / Math.max(1, a[key])).toFixed(2);
  return (
    `${taken} of ${of} channels taken out · ${part('macs')} × the multiply-accumulates, ` +
    `${part('parameters')} × the parameters${said}${fitted ? ` · ${fitted} layers fitted` : ''}`
  );
}
