/**
 * A training step (forward, backward, SGD with momentum) and PyTorch's, in turn, on the same images from the same
 * weights: times, losses and peak memory.
 *
 *   npm run build && node bench/training.mjs [--net resnet20 | mobilenet] [--batch 128] [--threads 2] [--steps 50]
 *     [--rate 0.001] [--peer PYTHON] [--rest 200] [--float64]
 *
 * Images are the shared CIFAR-10 training images. PYTHON has torch 2.13.0; without it, only ours is timed. Each side is
 * a process of its own that takes a step when it is told to, `rest` ms after the other's, for threads of PyTorch spin
 * on. Prints one line of JSON: median and least of the times and least time of processors in ms, the ratios of the
 * medians and of these, how far the losses of each step lie apart, and peak memory in MB. With --float64, beside
 * them the same losses of PyTorch in float64, which takes minutes: how far float32 alone leads away.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as rest } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { loadModel, saveModel } from '../dist/index.js';
import { item } from '../dist/base/lists.js';
import { openDataset } from '../dist/data/dataset.js';
import { mobileNet } from './training-nets.mjs';

const here = import.meta.dirname;
const shared = path.join(here, '..', '..', 'shared');
const { values } = parseArgs({
  options: {
    net: { type: 'string', default: 'resnet20' },
    batch: { type: 'string', default: '128' },
    threads: { type: 'string', default: '2' },
    steps: { type: 'string', default: '50' },
    rate: { type: 'string', default: '0.001' },
    rest: { type: 'string', default: '200' },
    peer: { type: 'string' },
    float64: { type: 'boolean', default: false },
  },
});
const [batch, steps] = [Number(values.batch), Number(values.steps)];
const folder = mkdtempSync(path.join(os.tmpdir(), 'quantbench-training-'));

/** The model, its weights by name and the batches, as both sides read them. */
async function lay() {
  const model =
    values.net === 'mobilenet' ? mobileNet() : loadModel(path.join(shared, 'models', 'resnet20-cifar10.onnx'));
  saveModel(model, path.join(folder, 'model.onnx'));
  const index = [];
  const parts = [];
  let at = 0;
  for (const { name, data } of model.graph.initializers) {
    if (data.dtype !== 'float32') continue;
    const floats = data.f32();
    index.push({ name, dims: data.dims, at });
    parts.push(Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength));
    at += floats.length;
  }
  writeFileSync(path.join(folder, 'weights.json'), JSON.stringify(index));
  writeFileSync(path.join(folder, 'weights.bin'), Buffer.concat(parts));
  const data = await openDataset(
    {
      webdataset: path.join(shared, 'data', 'cifar10', 'train'),
      classes: path.join(shared, 'data', 'cifar10', 'classes.txt'),
      preprocess: { colour: 'RGB', scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
    },
    [{ name: model.graph.inputs[0].name, dtype: 'float32', shape: ['N', 3, 32, 32] }],
    { baseDir: here, seed: 1 },
  );
  const images = new Float32Array(batch * steps * 3 * 32 * 32);
  const labels = [];
  for await (const sample of data.samples({ limit: batch * steps })) {
    images.set(Object.values(item(sample.feeds, 0))[0].data, labels.length * 3 * 32 * 32);
    labels.push(sample.label);
  }
  writeFileSync(path.join(folder, 'images.bin'), images);
  writeFileSync(path.join(folder, 'labels.json'), JSON.stringify(labels));
}

const children = [];
/** A process that answers each line on its input with a line of JSON. */
function side(command, argv) {
  const child = spawn(command, argv, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async (word) => {
    if (word) child.stdin.write(`${word}\n`);
    const { value } = await lines.next();
    if (value === undefined) throw new Error(`${command} ended`);
    return JSON.parse(value);
  };
}

const middle = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const told = (taken, { peak }) => ({
  median: Math.round(middle(taken.map((t) => t.ms))),
  least: Math.round(Math.min(...taken.map((t) => t.ms))),
  leastCpu: Math.round(Math.min(...taken.map((t) => t.cpu))),
  peakMB: Math.round(peak / 2 ** 20),
  losses: [taken[0].loss, taken.at(-1).loss].map((l) => Number(l.toFixed(5))),
});
const apart = (a, b) => a.map((x, i) => Number(Math.abs(x.loss - b[i].loss).toExponential(1)));

try {
  await lay();
  const how = [folder, values.batch, values.threads, values.rate];
  const ours = side(process.execPath, [path.join(here, 'training-step.mjs'), ...how]);
  const peer = (...more) =>
    side(values.peer, [path.join(here, '..', 'scripts', 'training-peer.py'), values.net, ...how, ...more]);
  const theirs = values.peer && peer();
  await ours();
  await theirs?.();
  const [a, b, exact] = [[], [], []];
  for (let i = 0; i < steps; i++) {
    a.push(await ours('step'));
    await rest(Number(values.rest));
    if (!theirs) continue;
    b.push(await theirs('step'));
    await rest(Number(values.rest));
  }
  const [mine, other] = [told(a, await ours('end')), theirs && told(b, await theirs('end'))];
  const result = { net: values.net, batch, threads: Number(values.threads), steps, ours: mine };
  if (other) {
    const ratio = (of) => Number((mine[of] / other[of]).toFixed(2));
    Object.assign(result, { torch: other, ratio: ratio('median'), ratioOfCpu: ratio('leastCpu'), apart: apart(a, b) });
  }
  if (other && values.float64) {
    const doubled = peer('float64');
    await doubled();
    for (let i = 0; i < steps; i++) exact.push(await doubled('step'));
    Object.assign(result, { oursFromFloat64: apart(a, exact), torchFromFloat64: apart(b, exact) });
  }
  console.log(JSON.stringify(result));
} finally {
  for (const child of children) child.kill();
  rmSync(folder, { recursive: true, force: true });
}
