import { z } from 'zod';
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import { cloneModel } from '../ir/clone.js';
import type { Model } from '../ir/model.js';
import { forgetInferred, inferShapes } from '../ops/infer.js';
import { leaveOut, residualBlocks } from '../train/students/shallower.js';
import { outputChanges } from './output-changes.js';
import type { CompressContext, Compression } from './types.js';
import { Work } from './work.js';

const share = z.number().min(0).lt(1);
const options = z.strictObject({
  left: z
    .strictObject({
      blocks: share.describe('Of the residual blocks that could go.').optional(),
      macs: share.describe('Of the multiply-accumulates.').optional(),
      parameters: share.describe('Of the elements of all constants.').optional(),
    })
    .refine(
      (t) => Object.values(t).filter((v) => v !== undefined).length === 1,
      'name one quantity: blocks, macs or parameters',
    )
    .describe('What is left, as a share: { blocks: 0.75 } leaves every fourth out.'),
  importance: z
    .enum(['outputs', 'even'])
    .default('outputs')
    .describe(
      'Which blocks go first. outputs: those without which the outputs of the model change least on calibration ' +
        'samples; even: spread evenly, without samples.',
    ),
  samples: z.number().int().positive().default(128).describe('Calibration samples that are looked at, at most.'),
});
type Options = z.output<typeof options>;

/**
 * Leaves whole residual blocks out: of x + f(x) where f keeps the shape, x goes on as it is. Layers fewer in a row are
 * less to wait for than narrower ones. source: Veit et al. 2016, https://arxiv.org/abs/1605.06431; for language models,
 * Men et al. 2024, https://arxiv.org/abs/2403.03853
 */
export const depth = {
  name: 'depth',
  doc: 'Leaves the least important residual blocks out as a whole: a shallower, faster ordinary model.',
  options,
  leaving: (share, objective) => ({ left: { [objective === 'latency' ? 'macs' : 'parameters']: share } }),
  async run(context, o) {
    const { model } = context;
    const { length } = residualBlocks(model.graph);
    if (!length)
      fail(
        'MODEL_UNSUPPORTED',
        'the model has no residual block x + f(x) that could be left out',
        {},
        'a block keeps the shape, and nothing else reads what is inside of it; prune takes channels out',
      );
    const evenly = o.importance === 'even' || context.dryRun === true;
    const changes = evenly ? spread(length) : await changesWithout(context, length, o.samples);
    const order = Array.from({ length }, (_, i) => i).sort((a, b) => item(changes, a) - item(changes, b));
    const before = new Work(model).left;
    let count = 0;
    const enough = (): boolean => {
      if (o.left.blocks !== undefined) return length - count <= Math.round(o.left.blocks * length);
      const key = o.left.macs === undefined ? 'parameters' : 'macs';
      return new Work(without(model, order.slice(0, count))).left[key] <= Number(o.left[key]) * before[key];
    };
    while (!enough()) {
      if (count === length)
        fail(
          'MODEL_UNSUPPORTED',
          `leaving all ${length} residual blocks out is not enough`,
          {},
          'ask for less, or prune',
        );
      count++;
    }
    const gone = order.slice(0, count);
    drop(model, gone);
    const after = new Work(model).left;
    const part = (key: 'macs' | 'parameters'): string => (after[key] / Math.max(1, before[key])).toFixed(2);
    const told = evenly
      ? ''
      : `, which change the outputs by ${gone.map((i) => item(changes, i).toPrecision(2)).join(', ')}`;
    return (
      `${count} of ${length} residual blocks left out (${gone.map((i) => i + 1).join(', ') || 'none'}${told}) · ` +
      `${part('macs')} × the multiply-accumulates, ${part('parameters')} × the parameters`
    );
  },
} satisfies Compression<Options>;

/** Numbers by which blocks that go first are spread evenly: bits in reverse order. source: van der Corput */
const spread = (length: number): number[] =>
  Array.from({ length }, (_, i) => {
    let [value, digit] = [0, 0.5];
    for (let n = i + 1; n > 0; n >>= 1, digit /= 2) value += (n & 1) * digit;
    return value;
  });

function drop(model: Model, gone: readonly number[]): void {
  const blocks = residualBlocks(model.graph);
  // in the order of the model: what enters a block may be the sum of one that went before it
  leaveOut(
    model.graph,
    [...gone].sort((a, b) => a - b).map((i) => item(blocks, i)),
  );
  forgetInferred(model);
  inferShapes(model);
}
function without(given: Model, gone: readonly number[]): Model {
  const { model } = cloneModel(given);
  inferShapes(model);
  drop(model, gone);
  return model;
}

/** What the outputs change without each block alone. */
async function changesWithout(context: CompressContext, length: number, samples: number): Promise<number[]> {
  const one = (block: number): Model => without(context.model, [block]);
  const onModel = (done: number): void => {
    context.onEvent({ type: 'progress', stage: 'depth', done, total: length, note: 'looking at blocks' });
  };
  return outputChanges({ ...context, count: length, made: one, samples, onModel });
}
