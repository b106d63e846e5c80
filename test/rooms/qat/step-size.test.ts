/** How learned step sizes move, and that what is read back is what the float model computed with. */
import { expect, it } from 'vitest';
import { gradients } from '../../../src/autodiff/gradients.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { addSize, grown, pacesOf } from '../../../src/qat/step-size.js';
import { GraphBuilder } from '../../../src/rewrite/builder.js';
import { openModel } from '../../../src/runtime/open.js';

const START = [0.02, 0.02, 0.02, 0.02, 0.5, 0.5, 0.5];
/** How far each moves, as shares of its start where it moves in a straight line. */
const MOVES = [-1e6, -30, -2, 0, 0.5, 8, 1e4];

/** Step sizes after the moves, and the gradient of their sum by what is learned. */
async function sizes(relative: boolean): Promise<{ size: number[]; byT: number[]; t: number[]; pace: Float32Array }> {
  const model = parseModel('<ir_version: 10, opset_import: ["" : 18]> g (float[1] x) => (y) { y = Identity (x) }');
  const b = new GraphBuilder(model);
  const start = Float32Array.from(START);
  const pace = pacesOf(start, 64, 127, relative);
  const { size, learned } = addSize(b, { name: 'w', start, shape: [START.length], pace, relative });
  const loss = b.op('ReduceSum', [size], { attrs: { keepdims: 0 }, outputs: ['loss'] });
  model.graph.addOutput(loss);
  model.graph.addOutput(size);
  const moves = relative ? MOVES.map((m) => Math.max(-80, Math.min(80, m))) : MOVES;
  const t = moves.map((m, i) => Math.fround(m / (pace[i] ?? 1)));
  const given = [...model.graph.initializers].find((v) => v.name === learned)!; // it is learned
  given.data = Tensor.f32(t, [START.length]);
  const trained = gradients(model, { loss: 'loss', wrt: [given.name] });
  const byT = await outputOf(trained, `gradient of ${given.name}`);
  return { size: await outputOf(model, size.name), byT, t, pace };
}
async function outputOf(model: Model, name: string): Promise<number[]> {
  const session = await openModel(model);
  try {
    const out = await session.run({ x: { dtype: 'float32', dims: [1], data: Float32Array.of(0) } });
    return Array.from(out[name]!.data as Float32Array); // it is an output
  } finally {
    await session.close();
  }
}

it('moves them in a straight line upwards, and ever slower downwards', async () => {
  const { size, byT, t, pace } = await sizes(false);
  const shares = [2 ** -10, 2 ** -10, Math.exp(-2), 1, 1.5, 9, 10_001];
  for (const [i, share] of shares.entries()) {
    expect(size[i]! / START[i]!).toBeCloseTo(share, share > 100 ? 1 : 5);
    expect(grown(t[i]!, pace[i]!, false) / share).toBeCloseTo(1, 5);
  }
  // one step of gradient descent moves a step size by its gradient (here 1) over √(elements · highest code)
  expect(byT[3]! * pace[3]! * START[3]!).toBeCloseTo(1 / Math.sqrt(64 * 127), 8);
  expect(byT[6]! * pace[6]! * START[6]!).toBeCloseTo(1 / Math.sqrt(64 * 127), 8);
  expect(byT[0]).toBe(0); // at its floor it stays
});

it('moves them by shares of themselves', async () => {
  const { size, byT, t, pace } = await sizes(true);
  for (const [i, s] of START.entries()) {
    const share = Math.exp(t[i]!);
    expect(size[i]! / Math.fround(s * share)).toBeCloseTo(1, 4);
    expect(grown(t[i]!, pace[i]!, true)).toBe(share);
    expect(byT[i]! / size[i]!).toBeCloseTo(1, 5);
  }
});
