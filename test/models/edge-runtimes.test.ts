/**
 * What is written for ncnn and Paddle, operator by operator, computes there what onnxruntime computes. Needs a folder with
 * a virtual environment for each runtime in QUANTBENCH_RUNTIMES.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { FeedTensor } from '../../src/ir/feed.js';
import type { Model } from '../../src/ir/model.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { Session } from '../../src/runtime/session.js';
import { Foreign } from '../../src/runtime/foreign.js';
import { ncnn } from '../../src/targets/ncnn/index.js';
import { paddle } from '../../src/targets/paddle/index.js';
import { inputOf, netOf } from '../rooms/targets/graphs.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-edge-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const pythonOf = (name: string): string => path.join(process.env.QUANTBENCH_RUNTIMES ?? '', name, 'bin', 'python');

const CONSTANTS = `float[6,4,3,3] w, float[6] b, float[4,1,3,3] d, float[4,3,2,2] t, float[6,2,3,3] g, float[4,1,1] each,
  float[9] row, float[4,9,9] whole, float[5,9] m, float[5] c, float[9,7] k, float[9] one, float low = {-0.5}, float high = {0.7}, float two = {2},
  int64[2] starts = {1,2}, int64[2] ends = {9,8}, int64[2] axes = {1,3}, int64[2] steps = {2,3}, float[0] none = {},
  float[4] twice = {1,1,2,2}, int64[8] pads = {0,1,2,0,0,0,1,3}, int64[8] flat = {0,0,2,0,0,0,1,3}, int64[2] rows = {1,-1}, int64[3] cube = {1,9,36}`;
const CASES: readonly string[] = [
  'y = Conv<pads = [1,2,0,1], strides = [2,1]>(x, w, b)',
  'y = Conv<auto_pad = "SAME_UPPER", strides = [2,2], dilations = [1,1]>(x, w, b)',
  'a = Conv<group = 4, dilations = [2,2]>(x, d) y = Relu(a)',
  'a = Conv<group = 2>(x, g) y = Clip(a, low, high)',
  'y = ConvTranspose<strides = [2,2], pads = [0,1,1,0], output_padding = [1,0]>(x, t)',
  'y = MaxPool<kernel_shape = [3,2], strides = [2,2], pads = [1,0,1,1]>(x)',
  'y = MaxPool<kernel_shape = [2,2], strides = [2,2], ceil_mode = 1>(x)',
  'y = AveragePool<kernel_shape = [3,3], pads = [1,1,0,1], count_include_pad = 1>(x)',
  'y = AveragePool<kernel_shape = [3,3], pads = [1,1,0,1], strides = [2,2]>(x)',
  'y = GlobalAveragePool(x)',
  'y = GlobalMaxPool(x)',
  'y = ReduceMean<axes = [1], keepdims = 0>(x)',
  'y = ReduceMax<axes = [-1,-2]>(x)',
  'y = ReduceL2<axes = [2]>(x)',
  'y = Add(x, each)',
  'y = Mul(row, x)',
  'y = Sub(two, x)',
  'a = GlobalAveragePool(x) y = Mul(x, a)',
  'a = ReduceMean<axes = [1]>(x) b1 = ReduceMean<axes = [2,3]>(x) y = Add(a, b1)',
  'a = Abs(x) b1 = Add(a, two) y = Div(x, b1)',
  'y = Max(x, whole)',
  'y = HardSwish(x)',
  'y = HardSigmoid<alpha = 0.25, beta = 0.4>(x)',
  'y = LeakyRelu<alpha = 0.2>(x)',
  'y = Elu<alpha = 0.5>(x)',
  'y = Erf(x)',
  'y = Selu(x)',
  'y = Softmax<axis = 1>(x)',
  'y = Softmax<axis = -1>(x)',
  'y = Transpose<perm = [0,2,3,1]>(x)',
  'y = Transpose<perm = [0,3,1,2]>(x)',
  'y = Transpose<perm = [0,1,3,2]>(x)',
  'y = Transpose<perm = [0,3,2,1]>(x)',
  'y = Transpose<perm = [0,2,1,3]>(x)',
  'y = Reshape(x, cube)',
  'a = Reshape(x, rows) y = Relu(a)',
  'y = Slice(x, starts, ends, axes, steps)',
  'y = Pad(x, pads, low)',
  'y = Pad<mode = "reflect">(x, flat)',
  'y = Pad<mode = "edge">(x, flat)',
  'y = Concat<axis = 2>(x, x)',
  'a, b1 = Split<axis = 1>(x) y = Concat<axis = -1>(b1, a)',
  'y = DepthToSpace<blocksize = 2>(x)',
  'y = DepthToSpace<blocksize = 2, mode = "CRD">(x)',
  'a = Pad(x, flat) y = SpaceToDepth<blocksize = 3>(a)',
  'y = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(x, none, twice)',
  'y = Resize<mode = "linear">(x, none, twice)',
  'y = Resize<mode = "linear", coordinate_transformation_mode = "align_corners">(x, none, twice)',
  'y = MatMul(x, k)',
  'a = Transpose<perm = [0,1,3,2]>(x) y = MatMul(x, a)',
  'y = LayerNormalization<axis = -1>(x, one, row)',
  'a = ReduceMean<axes = [1,2], keepdims = 0>(x) y = Gemm<transB = 1, alpha = 0.5, beta = 2.0>(a, m, c)',
];

const planned = {
  plan: new Map(),
  integerNodes: new Set<never>(),
  weightOnlyNodes: new Set<never>(),
  fusedClamps: new Map(),
  floatNodes: new Map(),
};
const X = { name: 'x', dtype: 'float32', shape: [1, 4, 9, 9] } as const;
const Y = { name: 'y', dtype: 'float32', shape: undefined } as const;
const program = path.join(import.meta.dirname, '..', '..', 'src', 'targets', 'shared', 'adapter.py');

async function inOnnxruntime(model: Model, x: FeedTensor): Promise<number[]> {
  const session = await Session.open(encodeModel(model));
  try {
    return Array.from((await session.run({ x })).y?.data ?? [], Number);
  } finally {
    await session.close();
  }
}

/** Parts of the cases that each refuses. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  ncnn: /^$/,
  paddle: /ceil_mode|ReduceL2|Selu|"reflect"|"edge"|DepthToSpace|SpaceToDepth|LayerNorm/,
};

describe.each([ncnn, paddle])('$name', (target) => {
  let foreign: Foreign | undefined;
  afterAll(() => foreign?.close());
  async function inRuntime(python: string, file: string, x: FeedTensor): Promise<number[]> {
    const adapter = path.join(program, '..', '..', target.name, 'adapter.py');
    const { name, adapter: needs } = target;
    foreign ??= new Foreign({
      python,
      program,
      adapter,
      threads: 1,
      inputs: [X],
      outputs: [Y],
      name,
      packages: needs.packages,
    });
    try {
      const opened = await foreign.open('quantized', file);
      return Array.from((await opened.run({ x })).y?.data ?? [], Number);
    } catch (error) {
      foreign.close();
      foreign = undefined; // another case gets another process
      throw error;
    }
  }
  const python = pythonOf(target.name);
  const there = process.env.QUANTBENCH_RUNTIMES !== undefined && existsSync(python);
  it.skipIf(!there).each(CASES.map((c, i) => [c, i] as const))(
    '%s',
    async (line, i) => {
      const model = parseModel(
        netOf(`(float[N,4,9,9] x) => (float y) <${CONSTANTS}> { ${line} }`).replace('(float y)', '(float[A] y)'),
        { randomInitializers: 5 },
      );
      const [output] = model.graph.outputs;
      output!.shape = undefined; // there is one
      const refused = target.emitter.refuses({ model });
      expect(refused.length > 0, refused[0]?.because).toBe(REFUSED[target.name]?.test(line));
      if (refused.length) return;
      const graph = { model, planned, params: new Map(), seed: 0 };
      const emitted = await target.emitter.emit({ ...inputOf(graph), name: `m${i}` });
      for (const f of emitted.files) writeFileSync(path.join(dir, f.path), f.data);
      const data = Float32Array.from({ length: 324 }, (_, k) => Math.sin(k * 1.7) * 2 + Math.cos(k * 0.31));
      const x: FeedTensor = { dtype: 'float32', dims: [1, 4, 9, 9], data };
      const wanted = await inOnnxruntime(model, x);
      const got = await inRuntime(python, path.join(dir, emitted.files[0]!.path), x); // files were written
      expect(got).toHaveLength(wanted.length);
      const most = Math.max(...got.map((v, k) => Math.abs(v - (wanted[k] ?? NaN))));
      expect(most).toBeLessThan(2e-3); // kernels of float32 in another order
    },
    60_000,
  );
});
