/**
 * Calibration against plain float inference of the same batches, interleaved in one process: `node bench/calibrate.mjs
 * model.onnx`. Options: --images 64 --batch 8 --threads 2 --rounds 3 --observer kl --values 16384 --size 224
 */
import { parseArgs } from 'node:util';
import { createRng } from '../dist/base/rng.js';
import { kernels, plainKernels } from '../dist/calibrate/kernels.js';
import { observers } from '../dist/calibrate/observers/index.js';
import { calibrate } from '../dist/calibrate/runner.js';
import { batches } from '../dist/data/batch.js';
import { loadModel } from '../dist/onnx/files.js';
import { inferShapes } from '../dist/ops/infer.js';
import { cleaning } from '../dist/passes/presets.js';
import { planQuantization } from '../dist/quantize/planners/static.js';
import { runPasses } from '../dist/rewrite/pass.js';
import { evaluateModel, openModel } from '../dist/runtime/open.js';
import { onnxruntimeCpu } from '../dist/targets/onnxruntime-cpu/index.js';

const {
  values: o,
  positionals: [file],
} = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    Object.entries({
      images: '64',
      batch: '8',
      threads: '2',
      rounds: '3',
      observer: 'kl',
      values: '16384',
      size: '224',
    }).map(([k, v]) => [k, { type: 'string', default: v }]),
  ),
});
const number = (k) => Number(o[k]);
const peakMiB = () => Math.round(process.resourceUsage().maxRSS / 1024);

const model = loadModel(file);
await runPasses(model, cleaning, { evaluate: evaluateModel });
inferShapes(model);
const { plan } = planQuantization(model, {
  activations: {
    dtype: 'uint8',
    symmetric: false,
    granularity: { kind: 'tensor' },
    observer: o.observer,
    perChannel: false,
  },
  weights: { dtype: 'int8', symmetric: true, granularity: 'channel', observer: 'minmax' },
  include: [],
  exclude: [],
  target: onnxruntimeCpu,
});
const observer = observers.find((x) => x.name === o.observer);
const points = [...plan]
  .filter(([p, s]) => 'uses' in p && s.kind === 'observed' && !p.data)
  .map(([value]) => ({ value, observer, options: observer.options.parse({}) }));
const inputs = model.graph.inputs.filter((v) => !v.data).map((v) => ({ name: v.name, dtype: v.dtype, shape: v.shape }));

/** Eight different images, given out again and again: making them must not weigh on either side. */
const images = Array.from({ length: 8 }, (_, i) => {
  const rng = createRng(i, 'bench');
  const feed = Object.fromEntries(
    inputs.map(({ name, dtype, shape }) => {
      const dims = [1, ...shape.slice(1).map((d) => (typeof d === 'number' ? d : number('size')))];
      return [
        name,
        { dtype, dims, data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => rng.normal()) },
      ];
    }),
  );
  return { id: String(i), hash: String(i), feeds: [feed] };
});
const data = () =>
  batches(
    Array.from({ length: number('images') }, (_, i) => images[i % 8]),
    { size: number('batch'), inputs },
  );

const plain = await openModel(model, { threads: number('threads') });
for (const name of [kernels(), plainKernels]) countingSpeed(name);
for await (const b of data()) {
  await plain.run(b.feeds[0]);
  break;
}
const times = { float: [], opening: [], calibrate: [], choose: [] };
const startMiB = peakMiB();
for (let round = 0; round < number('rounds'); round++) {
  let t = performance.now();
  for await (const b of data()) await plain.run(b.feeds[0]);
  times.float.push(performance.now() - t);
  t = performance.now();
  await (await openModel(model, { threads: number('threads') })).close();
  times.opening.push(performance.now() - t);
  t = performance.now();
  const { stats } = await calibrate({
    model,
    points,
    batches: data,
    threads: number('threads'),
    onNonFinite: 'fail',
    sampling: { maxValuesPerSample: number('values'), seed: 0 },
  });
  times.calibrate.push(performance.now() - t);
  t = performance.now();
  for (const p of points) observer.chooseRange(stats.get(p.value), plan.get(p.value).scheme, p.options);
  times.choose.push(performance.now() - t);
}
await plain.close();
const least = (list) => Math.min(...list);
const show = (list) => list.map((t) => Math.round(t)).join(' ');
console.log(
  `${points.length} tensors, ${number('images')} images, batch ${number('batch')}, ${number('threads')} ` +
    `threads, ${o.observer}`,
);
console.log(
  `float inference ms: ${show(times.float)}\n` +
    `calibration ms:     ${show(times.calibrate)} (opening the tapped model included)\n` +
    `choosing ranges ms: ${show(times.choose)}`,
);
console.log(
  `ratio of minima ${((least(times.calibrate) + least(times.choose)) / least(times.float)).toFixed(3)}, by ` +
    `round ${times.float.map((t, i) => ((times.calibrate[i] + times.choose[i]) / t).toFixed(3)).join(' ')}`,
);
console.log(
  `opening the float session ms: ${show(times.opening)}; with it on both sides: ratio of minima ` +
    `${((least(times.calibrate) + least(times.choose)) / (least(times.float) + least(times.opening))).toFixed(3)}, ` +
    'by round ' +
    `${times.float.map((t, i) => ((times.calibrate[i] + times.choose[i]) / (t + times.opening[i])).toFixed(3)).join(' ')}`,
);
console.log(`peak RSS ${peakMiB()} MiB (${startMiB} before the first calibration)`);

function countingSpeed(k) {
  const rng = createRng(1, 'counting');
  const values = Float32Array.from({ length: 1 << 20 }, () => Math.max(0, rng.normal()));
  const counts = new Float64Array(8192);
  let best = Infinity;
  for (let i = 0; i < 12; i++) {
    const t = performance.now();
    k.count(values, 0, values.length, 512, 4096, counts, 0);
    best = Math.min(best, performance.now() - t);
  }
  console.log(`counting (${k.name}): ${Math.round(values.length / best / 1000)} M values/s`);
}
