/** Our side of training.mjs: FOLDER BATCH THREADS RATE. A step for each line `step`, the peak of memory at the end. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { addLoss, addOptimiser, gradients, loadModel, Trainer } from '../dist/index.js';

const [folder, size, threads, rate] = process.argv.slice(2);
const batch = Number(size);
const given = loadModel(path.join(folder, 'model.onnx'));
const [input, output] = [given.graph.inputs[0].name, given.graph.outputs[0].name];
const parameters = [...given.graph.initializers]
  .filter((v) => v.data.dtype === 'float32' && v.data.dims.length && !/running_(?:mean|var)$/.test(v.name))
  .map((v) => v.name);
const weights = new Map([...given.graph.initializers].map((v) => [v.name, v.data]));
const step = addOptimiser(
  gradients(addLoss(given, [{ loss: 'cross-entropy', of: output, target: 'labels' }]), {
    loss: 'loss',
    wrt: parameters,
    batch,
    batchNorm: 'batch',
    weightsAsInputs: true,
  }),
  { optimiser: 'sgd', parameters },
);
const trainer = await Trainer.open(step, { weights, threads: Number(threads) });
const file = readFileSync(path.join(folder, 'images.bin'));
const images = new Float32Array(file.buffer, file.byteOffset, file.byteLength / 4);
const labels = JSON.parse(readFileSync(path.join(folder, 'labels.json'), 'utf8'));
const each = 3 * 32 * 32;
let at = 0;
console.log('{}');
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'end') {
    const peak = 1024 * Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
    console.log(JSON.stringify({ peak }));
    break;
  }
  const feed = {
    [input]: { dtype: 'float32', dims: [batch, 3, 32, 32], data: images.subarray(at * each, (at + batch) * each) },
    labels: { dtype: 'int64', dims: [batch], data: BigInt64Array.from(labels.slice(at, at + batch), BigInt) },
  };
  at += batch;
  const [start, before] = [performance.now(), process.cpuUsage()];
  const { loss } = await trainer.step(feed, Number(rate));
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(before);
  console.log(JSON.stringify({ ms, cpu: (user + system) / 1000, loss }));
}
await trainer.close();
