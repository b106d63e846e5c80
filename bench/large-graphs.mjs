/**
 * Time of each step on valid graphs of many nodes, and the peak of memory: `node bench/large-graphs.mjs [SHAPE …]`.
 * Options: --nodes 100000. Nothing runs in onnxruntime: what the tool itself does must be linear in the graph.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { memoryPlan } from '../dist/cost/memory.js';
import { modelCost, sized } from '../dist/cost/nodes.js';
import { Graph, Node, Value } from '../dist/ir/graph.js';
import { createModel } from '../dist/ir/model.js';
import { Tensor } from '../dist/ir/tensor.js';
import { verify } from '../dist/ir/verify.js';
import { decodeModel } from '../dist/onnx/decode.js';
import { encodeModel } from '../dist/onnx/encode.js';
import { inferShapes } from '../dist/ops/infer.js';
import { optimizing } from '../dist/passes/presets.js';
import { planModel } from '../dist/pipeline/prepare.js';
import { recipeSpec } from '../dist/recipe/schema.js';
import { runPasses } from '../dist/rewrite/pass.js';

/** What each shape adds to a graph that has an input and gives back its output; `n` nodes or so. */
const SHAPES = {
  chain: (g, x, n) => {
    const c = g.constant([8]);
    for (let i = 0; i < n; i++) x = i % 3 ? g.op(i % 3 === 1 ? 'Add' : 'Mul', [x, c]) : g.op('Relu', [x]);
    return x;
  },
  wide: (g, x, n) => {
    const c = g.constant([8]);
    return g.op(
      'Sum',
      Array.from({ length: n }, () => g.op('Mul', [x, c])),
    );
  },
  constants: (g, x, n) => {
    for (let i = 0; i < n; i++) x = g.op(i % 2 ? 'Mul' : 'Max', [x, g.constant([8])]);
    return x;
  },
  inputs: (g, x, n) => g.op('Sum', [x, ...Array.from({ length: n }, () => g.constant([8]))]),
  dead: (g, x, n) => {
    let y = x;
    for (let i = 0; i < n; i++) y = g.op('Sigmoid', [y]);
    return g.op('Relu', [x]);
  },
  identities: (g, x, n) => {
    for (let i = 0; i < n; i++) x = g.op('Identity', [x]);
    return x;
  },
  layers: (g, x, n) => {
    for (let i = 0; i < n; i += 2) x = g.op('Relu', [g.op('MatMul', [x, g.constant([8, 8])])]);
    return x;
  },
  names: (g, x, n) => {
    for (let i = 0; i < n / 20; i++) x = g.op('Tanh', [x], `${'block_1/'.repeat(400)}${i}`);
    return x;
  },
};

function build(shape, n) {
  const graph = new Graph();
  const x = graph.addInput(new Value('x'));
  x.dtype = 'float32';
  x.shape = [1, 8];
  let count = 0;
  const maker = {
    op: (op, inputs, name = `t${count++}`) => graph.add(new Node(op, inputs, [name])).outputs[0],
    constant: (dims) => {
      const data = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => 1 + ((count + i) % 97) / 8);
      return graph.addInitializer(new Value(`c${count++}`), Tensor.f32(data, dims));
    },
  };
  const y = SHAPES[shape](maker, x, n);
  y.dtype = 'float32';
  y.shape = [1, 8];
  graph.addOutput(y);
  return encodeModel(createModel(graph, 17));
}

async function measure(bytes) {
  const times = {};
  const timed = async (step, run) => {
    const start = process.cpuUsage();
    const result = await run();
    const { user, system } = process.cpuUsage(start);
    times[step] = (user + system) / 1e6;
    return result;
  };
  const load = () => decodeModel(bytes, { file: 'model.onnx' });
  const model = await timed('decode', load);
  await timed('verify', () => verify(model));
  await timed('infer', () => inferShapes(model));
  await timed('cost', () => {
    const whole = sized(model, new Map());
    modelCost(whole);
    memoryPlan(whole);
  });
  for (const format of ['qdq', 'dynamic']) {
    const copy = load();
    inferShapes(copy);
    const data = { data: { npy: 'x.npy' } };
    const recipe = recipeSpec.parse({ version: 1, model: 'm.onnx', calibration: data, quantize: { format } });
    await timed(`plan ${format}`, () => {
      try {
        planModel(copy, recipe, () => undefined);
      } catch (error) {
        if (error.code !== 'QUANTIZE_NOTHING') throw error;
      }
    });
  }
  const evaluate = () => Promise.reject(new Error('nothing runs here'));
  await timed('passes', () => runPasses(model, optimizing.default, { evaluate, rounds: 30 }));
  await timed('encode', () => encodeModel(model));
  return { times, peak: process.resourceUsage().maxRSS / 1024 };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { nodes: { type: 'string', default: '100000' } },
});
if (process.send) {
  process.once('message', async (bytes) => {
    process.send(await measure(new Uint8Array(bytes)));
    process.disconnect();
  });
} else {
  for (const shape of positionals.length ? positionals : Object.keys(SHAPES)) {
    const bytes = build(shape, Number(values.nodes));
    const child = fork(fileURLToPath(import.meta.url), { serialization: 'advanced' });
    child.send(bytes);
    const { times, peak } = await new Promise((resolve) => child.once('message', resolve));
    const limit = 200 + (50 * bytes.length) / 2 ** 20;
    const parts = Object.entries(times).map(([step, s]) => `${step} ${typeof s === 'number' ? s.toFixed(2) : s}`);
    const sum = Object.values(times).reduce((n, s) => n + (typeof s === 'number' ? s : 0), 0);
    console.log(
      `${shape.padEnd(11)} ${parts.join(' · ')} · together ${sum.toFixed(2)} s CPU · ${peak.toFixed(0)} of ${limit.toFixed(0)} MB`,
    );
  }
}
