// @ts-check
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { addLoss, addOptimiser, gradients, parseModel, saveModel, Trainer, withWeights } from 'quantbench';

/**
 * Two layers whose weights take one of 8 values times a step size: w/s is clipped and rounded. Both step sizes are
 * learned with the weights.
 */
const TEXT = `
<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 2] x) => (float[N, 2] scores)
<float[2, 16] w1, float[16] b1, float s1 = {0.3}, float[16, 2] w2, float s2 = {0.2}, float low = {-4}, float high = {3}>
{
  r1 = Div(w1, s1)
  c1 = Clip(r1, low, high)
  q1 = Round(c1)
  k1 = Mul(q1, s1)
  m1 = MatMul(x, k1)
  a1 = Add(m1, b1)
  h = Tanh(a1)
  r2 = Div(w2, s2)
  c2 = Clip(r2, low, high)
  q2 = Round(c2)
  k2 = Mul(q2, s2)
  scores = MatMul(h, k2)
}`;
const PARAMETERS = ['w1', 'b1', 's1', 'w2', 's2'];

/** Points of a grid, and whether their coordinates have the same sign: no line parts the two classes. */
function grid() {
  const at = [-1.75, -1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 1.75];
  const points = at.flatMap((a) => at.map((b) => /** @type {const} */ ([a, b])));
  return {
    x: { dtype: /** @type {const} */ ('float32'), dims: [points.length, 2], data: Float32Array.from(points.flat()) },
    labels: {
      dtype: /** @type {const} */ ('int64'),
      dims: [points.length],
      data: BigInt64Array.from(points, ([a, b]) => (a * b > 0 ? 1n : 0n)),
    },
  };
}

/**
 * Trains a model with 3-bit weights: the backward graph, a loss and an optimiser are an ONNX model too, which is saved.
 * @param {string} outDir
 */
export async function main(outDir) {
  mkdirSync(outDir, { recursive: true });
  const model = parseModel(TEXT, { randomInitializers: 5 });
  const batch = grid();
  const withLoss = addLoss(model, [{ loss: 'cross-entropy', of: 'scores', target: 'labels' }]);
  const backward = gradients(withLoss, {
    loss: 'loss',
    wrt: PARAMETERS,
    batch: batch.labels.data.length,
    rounding: 'straight-through',
    weightsAsInputs: true,
  });
  const step = addOptimiser(backward, { optimiser: 'adam', parameters: PARAMETERS });
  saveModel(step.model, path.join(outDir, 'step.onnx'));

  const weights = new Map([...model.graph.initializers].flatMap((v) => (v.data ? [[v.name, v.data]] : [])));
  const trainer = await Trainer.open(step, { weights });
  const losses = [];
  for (let i = 0; i < 400; i++) losses.push((await trainer.step(batch, 0.02)).loss);
  const trained = withWeights(model, trainer.weights);
  await trainer.close();
  saveModel(trained, path.join(outDir, 'trained.onnx'));
  return { losses };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { losses } = await main('reports/examples/training');
  console.log(`loss ${losses[0]?.toFixed(3)} → ${losses.at(-1)?.toFixed(3)} after ${losses.length} steps`);
}
