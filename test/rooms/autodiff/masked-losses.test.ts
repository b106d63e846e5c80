/** Losses that leave out what a mask leaves out: as if it were not there. */
import { describe, expect, it } from 'vitest';
import { addLoss } from '../../../src/autodiff/add-loss.js';
import { gradients } from '../../../src/autodiff/gradients.js';
import type { Feed, FeedTensor } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { openModel } from '../../../src/runtime/open.js';
import { numbers } from './check.js';

const f32 = (dims: readonly number[], data: readonly number[]): FeedTensor => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from(data),
});
const mask = (dims: readonly number[], data: readonly number[]): FeedTensor => ({
  dtype: 'int64',
  dims,
  data: BigInt64Array.from(data, BigInt),
});
const model = (): Model =>
  parseModel(
    '<ir_version: 10, opset_import: ["" : 21]> g (float[N,S,2] x, int64[N,S] mask) => (y) ' +
      '{ one = Constant <value_float = 1.0> () kept = Cast <to = 1> (mask) y = Mul (x, one) }',
  );
async function run(loss: string, options: Readonly<Record<string, unknown>>, feed: Feed): Promise<number[][]> {
  const withLoss = addLoss(model(), [{ loss, of: 'y', options }]);
  const shapes = Object.fromEntries(Object.entries(feed).map(([name, t]) => [name, t.dims]));
  const made = gradients(withLoss, { loss: 'loss', wrt: ['x'], shapes });
  const session = await openModel(made);
  try {
    const results = await session.run(feed);
    return [numbers(results.loss!), numbers(results['gradient of x']!)];
  } finally {
    await session.close();
  }
}

describe('a mask', () => {
  const x = [1, 2, 3, 4, 50, 60, 5, 6];
  const t = [2, 2, 1, 4, -9, 0, 5, 9];
  const feed = { x: f32([2, 2, 2], x), mask: mask([2, 2], [1, 1, 0, 1]), 'target of y': f32([2, 2, 2], t) };
  const kept = {
    x: f32([1, 3, 2], [1, 2, 3, 4, 5, 6]),
    mask: mask([1, 3], [1, 1, 1]),
    'target of y': f32([1, 3, 2], [2, 2, 1, 4, 5, 9]),
  };

  it('leaves elements of mse out', async () => {
    const [loss, gradient] = await run('mse', { mask: 'mask' }, feed);
    expect(loss![0]).toBeCloseTo((1 + 4 + 9) / 6, 6);
    [-2, 0, 4, 0, 0, 0, 0, -6].forEach((g, i) => expect(gradient![i]).toBeCloseTo(g / 6, 6));
  });
  it.each(['mse', 'cosine'])('gives %s of what is left', async (loss) => {
    const [masked, plain] = [await run(loss, { mask: 'mask' }, feed), await run(loss, {}, kept)];
    expect(masked[0]![0]).toBeCloseTo(plain[0]![0]!, 6);
    const left = masked[1]!.filter((_, i) => i < 4 || i > 5);
    left.forEach((g, i) => expect(g).toBeCloseTo(plain[1]![i]!, 6));
    expect(masked[1]!.slice(4, 6).map(Math.abs)).toEqual([0, 0]);
  });
  it('that leaves nothing gives zero', async () => {
    const none = { ...feed, mask: mask([2, 2], [0, 0, 0, 0]) };
    const [loss, gradient] = await run('mse', { mask: 'mask' }, none);
    expect([loss, gradient].flat().map((v) => Math.abs(v!))).toEqual(Array(9).fill(0));
  });
  it.each([
    ['that the model lacks', { mask: 'masks' }, 'GRADIENT_UNKNOWN_NAME'],
    ['with more axes than what it is laid over', { mask: 'x', axis: 2 }, 'GRADIENT_INVALID'],
  ])('%s is refused', (_, options, code) => {
    expect(() => addLoss(model(), [{ loss: 'cosine', of: 'y', options }])).toThrow(expect.objectContaining({ code }));
  });
});
