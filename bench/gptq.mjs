/**
 * Layer-wise quantization: each kernel in plain JS and in WebAssembly, in turns, and the weights stage of MiniLM and
 * ResNet-20 with both: `node bench/gptq.mjs`. Options: --rounds 5 --sizes 384,1536 --stages 1 (rounds of whole runs; 0:
 * kernels only). Milliseconds are the minimum of the rounds, ratios the median of those within a round. Stages need
 * ../shared.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { plainLinear, wasmLinear } from '../dist/codes/linear-kernels.js';
import { factorReverse, solveReverse } from '../dist/codes/linear.js';
import { solveWith } from '../dist/codes/gptq.js';
import { searchGrid } from '../dist/codes/search.js';
import { createRotation } from '../dist/adjust/rotation/matrix.js';
import { createRng } from '../dist/base/rng.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    sizes: { type: 'string', default: '384,1536' },
    stages: { type: 'string', default: '1' },
  },
});
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const kinds = [plainLinear, wasmLinear(readFileSync(path.join(root, 'dist', 'linear.wasm')))];
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

/** Prepares and times a piece of work with both kernels in turns. `prepare` gives the work; only that is timed. */
function compare(name, prepare) {
  const times = [[], []];
  for (let round = -1; round < Number(values.rounds); round++) {
    kinds.forEach((kernels, i) => {
      const work = prepare(kernels);
      const start = performance.now();
      work();
      if (round >= 0) times[i].push(performance.now() - start);
    });
  }
  const [js, wasm] = times.map((list) => Math.min(...list));
  console.log(
    `${name.padEnd(48)} js ${js.toFixed(1).padStart(8)} ms   wasm ${wasm.toFixed(1).padStart(8)} ms   js/wasm ` +
      `${median(times[0].map((t, i) => t / times[1][i])).toFixed(2)}`,
  );
}

for (const n of values.sizes.split(',').map(Number)) {
  const rng = createRng(n);
  const random = (count) => Float64Array.from({ length: count }, () => rng.normal());
  const rows = 32;
  const samples = random(64 * n);
  const h = new Float64Array(n * n);
  for (let s = 0; s < 64; s++)
    for (let i = 0; i < n; i++) plainLinear.addScaled(h, i * n, samples[s * n + i], samples, s * n, n);
  for (let i = 0; i < n; i++) h[i * n + i] += 1;
  const right = random(16 * n);
  const target = random(rows * n);
  const factor = h.slice();
  factorReverse(factor, n, new Float64Array(16), plainLinear);
  const held = (kernels, ...arrays) =>
    kernels.arrays(...arrays.map((a) => a.length)).map((a, i) => {
      a.set(arrays[i]);
      return a;
    });

  compare(`reverse Cholesky, n = ${n}`, (k) => {
    const [l, sums] = held(k, h, new Float64Array(16));
    return () => factorReverse(l, n, sums, k);
  });
  compare(`solve LᵀL·x = r, 16 rows, n = ${n}`, (k) => {
    const [l, r, room] = held(k, factor, right, new Float64Array(256));
    return () => solveReverse(l, n, r, 16, room, k);
  });
  compare(`products of 16 rows with every line, n = ${n}`, (k) => {
    const [m, r, out] = held(k, h, right, new Float64Array(16));
    return () => {
      for (let i = 0; i < n; i++) k.dots(m, i * n, r, 0, n, 16, n, out, 0);
    };
  });
  compare(`sums of all lines into 16 rows, n = ${n}`, (k) => {
    const [m, r, by] = held(k, h, right, right);
    const lines = Int32Array.from({ length: n }, (_, i) => i * n);
    return () => k.addLines(r, 0, n, 16, by, n, m, lines, n);
  });
  compare(`a line added to a row, ${n} times, n = ${n}`, (k) => {
    const [m, r] = held(k, h, right);
    return () => {
      for (let i = 0; i < n; i++) k.addScaled(r, 0, 1e-3, m, i * n, n);
    };
  });
  for (const block of [32, n]) {
    const blocks = n / block;
    const problem = {
      rows,
      columns: n,
      target,
      hessian: h,
      grid: {
        part: Int32Array.from(target, (_, at) => Math.floor(at / block)),
        scale: new Float64Array(rows * blocks).fill(0.4),
        zeroPoint: new Int32Array(rows * blocks).fill(8),
        low: 0,
        high: 15,
        symmetric: false,
      },
    };
    compare(`search of scales, 40 of ${rows} rows, block ${block}`, (k) => () => searchGrid(problem, 40, k));
    compare(
      `GPTQ of ${rows} rows, block ${block}, n = ${n}`,
      (k) => () => solveWith(k, problem, { actOrder: true, scaleSearch: 40, sweeps: 2 }),
    );
  }
  compare(`rotation of 200 vectors, n = ${n}`, (k) => {
    const r = createRotation(n, 1, k);
    const [v] = held(k, right.subarray(0, n));
    return () => {
      for (let i = 0; i < 200; i++) r.turn(v);
    };
  });
  compare(`Hadamard transform, 2,000 times, n = ${n}`, (k) => {
    let m = n;
    while (m % 2 === 0) m /= 2;
    const [v] = held(k, right.subarray(0, n));
    return () => {
      for (let i = 0; i < 2000; i++) {
        k.hadamard(v, m);
        for (let j = 0; j < n; j++) v[j] *= 0.0625;
      }
    };
  });
}

/**
 * Runs a recipe in a process of its own. Without kernels its WebAssembly refuses the module, as an engine without SIMD
 * does.
 */
function stage(recipe, plain, ...sets) {
  const out = mkdtempSync(path.join(os.tmpdir(), 'quantbench-gptq-'));
  const refuse = plain
    ? 'const { Module } = WebAssembly; WebAssembly.Module = class { constructor(bytes) { const m = new ' +
      "Module(bytes); if (Module.exports(m).some((e) => e.name === 'addFour')) throw new Error('refused'); " +
      'return m; } };'
    : '';
  const set = [
    'evaluation.latency=false',
    'evaluation.profile=false',
    'evaluation.layers=false',
    'evaluation.collapse=0',
    ...sets,
  ].flatMap((s) => ['--set', s]);
  try {
    const done = spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `${refuse} await (await import('./dist/cli/main.js')).main(process.argv.slice(1)); ` +
          `console.error('PEAK', process.resourceUsage().maxRSS);`,
        '--',
        '--recipe',
        recipe,
        '--out',
        out,
        '--quiet',
        ...set,
      ],
      { cwd: root, encoding: 'utf8' },
    );
    const record = JSON.parse(readFileSync(path.join(out, 'run.json'), 'utf8'));
    return {
      seconds: record.stages.find((s) => s.name === 'weights').ms / 1000,
      megabytes: Number(/PEAK (\d+)/.exec(done.stderr)[1]) / 1024,
    };
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}
const recipes = [
  ['recipes/cifar10/w4-gptq.yaml'],
  ['recipes/sts/w4-gptq.yaml'],
  ['recipes/sts/w4-gptq.yaml', 'quantize.weights.match=float'],
];
for (let round = 0; round < Number(values.stages); round++) {
  for (const [recipe, ...sets] of recipes) {
    for (const plain of [true, false]) {
      const { seconds, megabytes } = stage(recipe, plain, ...sets);
      console.log(
        `${[recipe, ...sets].join(' ').padEnd(64)} ${plain ? 'js  ' : 'wasm'} weights ` +
          `${seconds.toFixed(1).padStart(6)} s   peak ${megabytes.toFixed(0)} MB`,
      );
    }
  }
}
