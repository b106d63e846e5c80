/**
 * Time of a training step (forward, backward, SGD with momentum) on random images, and the loss curve.
 *
 *   npm run build && node bench/training.mjs MODEL.onnx [--batch 128] [--threads 2] [--steps 12] [--profile PREFIX]
 *
 * The first input takes images, the first output gives scores of classes. BatchNormalization uses statistics of the
 * batch. Prints one line of JSON: the least and the median of the times and the least time of processors, which
 * a busy machine lengthens less, all in ms, and the losses.
 */
import { parseArgs } from 'node:util';
import { addLoss, addOptimiser, gradients, loadModel } from '../dist/index.js';
import { createRng } from '../dist/base/rng.js';
import { openModel } from '../dist/runtime/open.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    batch: { type: 'string', default: '128' },
    threads: { type: 'string', default: '2' },
    steps: { type: 'string', default: '12' },
    profile: { type: 'string' },
  },
});
const [batch, threads, steps] = [values.batch, values.threads, values.steps].map(Number);
const given = loadModel(positionals[0]);
const output = given.graph.outputs[0].name;
const input = given.graph.inputs[0].name;
const classes = given.graph.outputs[0].shape.at(-1);
const withLoss = addLoss(given, [{ loss: 'cross-entropy', of: output, target: 'labels' }]);
const parameters = [...withLoss.graph.initializers]
  .filter((v) => v.data.dtype === 'float32' && v.data.dims.length && !/running|mean|var$/.test(v.name))
  .map((v) => v.name);
const first = new Map([...withLoss.graph.initializers].map((v) => [v.name, v.data]));
const options = { loss: 'loss', wrt: parameters, batch, batchNorm: 'batch', weightsAsInputs: true };
const { model, loop } = addOptimiser(gradients(withLoss, options), { optimiser: 'sgd', parameters });

const state = Object.fromEntries(
  loop.map(({ input: name, shape }) => {
    const data = first.get(name)?.f32() ?? new Float32Array(shape.reduce((n, d) => n * d, 1));
    return [name, { dtype: 'float32', dims: shape, data }];
  }),
);
const rng = createRng(1, 'images');
const dims = model.graph.inputs.find((v) => v.name === input).shape;
const images = Float32Array.from({ length: dims.reduce((n, d) => n * d, 1) }, () => rng.normal());
const labels = BigInt64Array.from({ length: batch }, () => BigInt(rng.int(classes)));
const scalar = (v) => ({ dtype: 'float32', dims: [], data: Float32Array.of(v) });
const session = await openModel(model, {
  threads,
  spinning: false,
  ...(values.profile ? { profileTo: values.profile } : {}),
});
const [times, work, losses] = [[], [], []];
for (let step = 0; step < steps; step++) {
  const feed = {
    ...state,
    [input]: { dtype: 'float32', dims, data: images },
    labels: { dtype: 'int64', dims: [batch], data: labels },
    'learning rate': scalar(0.01),
    step: scalar(step + 1),
  };
  const [start, before] = [performance.now(), process.cpuUsage()];
  const results = await session.run(feed);
  times.push(performance.now() - start);
  const { user, system } = process.cpuUsage(before);
  work.push((user + system) / 1000);
  losses.push(results.loss.data[0]);
  for (const { input: name, output: next } of loop) state[name] = results[next];
}
if (values.profile) session.endProfiling();
await session.close();
const sorted = [...times].sort((a, b) => a - b);
console.log(
  JSON.stringify({
    nodes: model.graph.nodes.size,
    least: Math.round(sorted[0]),
    median: Math.round(sorted[sorted.length >> 1]),
    leastCpu: Math.round(Math.min(...work)),
    losses: losses.map((l) => Number(l.toFixed(5))),
  }),
);
