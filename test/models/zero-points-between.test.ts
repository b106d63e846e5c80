/**
 * Zero points between products give in ncnn and MNN what the quantized ONNX model gives: borders, strides, groups and
 * clamps too. Needs a folder with a virtual environment of each in QUANTBENCH_RUNTIMES.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { formats } from '../../src/formats/index.js';
import { writeModel } from '../../src/formats/write.js';
import { cloneModel } from '../../src/ir/clone.js';
import type { FeedTensor } from '../../src/ir/feed.js';
import type { Value } from '../../src/ir/graph.js';
import type { Model } from '../../src/ir/model.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { Foreign } from '../../src/runtime/foreign.js';
import { EXACT, Session } from '../../src/runtime/session.js';
import { chooseParams } from '../../src/scheme/params.js';
import type { QuantizedGraph } from '../../src/scheme/quantized.js';
import { mnn } from '../../src/targets/mnn/index.js';
import { ncnn } from '../../src/targets/ncnn/index.js';
import { inputOf, netOf, quantized } from '../rooms/targets/graphs.js';

const folder = process.env.QUANTBENCH_RUNTIMES ?? '';
const sources = path.join(import.meta.dirname, '..', '..', 'src', 'targets');
const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-zeros-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

// Sixteen channels, which ncnn packs by eight; what is read twice; a range on both sides of zero, and one below it.
const MAPS = netOf(`(float[N,4,9,9] x) => (float[N,6,5,10] y)
  <float[16,4,3,3] w, float[16] b, float[16,1,3,3] d, float[16] c, float[16,16,3,3] v, float[6,16,1,1] p,
   float[6,16,3,3] q, float[6] e, float low = {-0.7}, float high = {0.4}, float top = {-0.05}, float under = {-9}> {
  a = Conv<pads = [1,2,0,1], strides = [2,1]>(x, w, b) r = Relu(a)
  g = Conv<group = 16, pads = [1,1,1,1]>(r, d, c) k = Clip(g, low, high)
  m = Conv<pads = [2,2,2,2], dilations = [2,2]>(k, v) n = Clip(m, under, top)
  s = Conv(n, p) t = Conv<pads = [1,1,1,1]>(n, q, e) y = Add(s, t) }`);

const ROWS = netOf(`(float[N,12] x) => (float[N,5] y) <float[12,16] w, float[16] b, float[9,16] v, float[9,5] p,
   float low = {-0.7}, float high = {0.4}> {
  a = Gemm(x, w, b) r = Relu(a) g = Gemm<transB = 1>(r, v) k = Clip(g, low, high) y = MatMul(k, p) }`);
const CASES: readonly (readonly [string, string, readonly number[], Readonly<Record<string, number | undefined>>])[] = [
  ['maps', MAPS, [1, 4, 9, 9], { r: -127, n: 127 }],
  ['rows', ROWS, [1, 12], { r: -127 }],
];
const feedOf = (dims: readonly number[]): FeedTensor => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from({ length: dims.reduce((n, d) => n * d, 1) }, (_, k) =>
    Math.fround(Math.sin(k * 1.7) * 2 + Math.cos(k * 0.31)),
  ),
});
const numbers = ({ data }: FeedTensor): number[] => Array.from({ length: data.length }, (_, i) => Number(data[i]));
async function run(model: Model, x: FeedTensor): Promise<Readonly<Record<string, FeedTensor>>> {
  const session = await Session.open(encodeModel(model), EXACT);
  try {
    return await session.run({ x });
  } finally {
    await session.close();
  }
}

/** Every tensor and weight with the range that it has. */
async function fitted(graph: QuantizedGraph, x: FeedTensor): Promise<QuantizedGraph> {
  const { model } = cloneModel(graph.model);
  for (const n of model.graph.nodes) for (const y of n.outputs) if (!y.isGraphOutput) model.graph.addOutput(y);
  const seen: Readonly<Record<string, FeedTensor>> = { ...(await run(model, x)), x };
  const params = new Map(
    [...graph.params].map(([point, p]) => {
      const value: Value | null | undefined = 'uses' in point ? point : point.node.inputs[point.index];
      const list = Array.from(value?.data?.f32() ?? seen[value?.name ?? '']?.data ?? [], Number);
      const count = p.scale.length;
      const parts = Array.from({ length: count }, (_, i) =>
        list.slice((i * list.length) / count, ((i + 1) * list.length) / count),
      );
      const range = {
        min: Float64Array.from(parts, (v) => Math.min(...v)),
        max: Float64Array.from(parts, (v) => Math.max(...v)),
      };
      return [point, chooseParams(range, p.scheme)] as const;
    }),
  );
  return { ...graph, params };
}

describe.each([ncnn, mnn])('$name', (target) => {
  const python = path.join(folder, target.name, 'bin', 'python');
  it.skipIf(!folder || !existsSync(python)).each(CASES)(
    'computes what the quantized model computes: %s',
    async (what, net, dims, zeros) => {
      const x = feedOf(dims);
      const graph = await fitted(await quantized(target, net), x);
      const values = [...graph.model.graph.nodes].flatMap((n) => n.outputs);
      const zeroOf = (name: string): number | undefined =>
        graph.params.get(values.find((v) => v.name === name)!)?.zeroPoint[0]; // a tensor of the net
      for (const [name, zero] of Object.entries(zeros)) expect(zeroOf(name)).toBe(zero);
      expect(zeroOf('k')).toBeGreaterThan(10);
      const qdq = formats.find((f) => f.name === 'qdq')!; // there is one
      const wanted = numbers((await run(writeModel(qdq, graph, target).model, x)).y!);
      const { files, artefact } = target.emitter.emit(inputOf(graph));
      const out = path.join(dir, `${target.name}-${what}`);
      mkdirSync(out);
      for (const f of files) writeFileSync(path.join(out, f.path), f.data);
      const runtime = new Foreign({
        python,
        program: path.join(sources, 'shared', 'adapter.py'),
        adapter: path.join(sources, target.name, 'adapter.py'),
        threads: 1,
        inputs: [{ name: 'x', dtype: 'float32', shape: dims }],
        outputs: [{ name: 'y', dtype: 'float32', shape: undefined }],
        name: target.name,
        packages: target.adapter.packages,
      });
      try {
        // files were written
        const opened = await runtime.open('quantized', path.join(out, artefact ?? files[0]!.path));
        const got = numbers((await opened.run({ x })).y!);
        expect(got).toHaveLength(wanted.length);
        const most = Math.max(...wanted.map(Math.abs));
        const apart = wanted.map((v, i) => Math.abs(v - got[i]!));
        // codes are rounded to the other side of a half now and then; MNN gives codes, of 0.008 of the largest each
        expect(Math.max(...apart) / most).toBeLessThan(0.03);
        expect(apart.reduce((a, v) => a + v, 0) / apart.length / most).toBeLessThan(target === mnn ? 0.006 : 0.003);
      } finally {
        runtime.close();
      }
    },
    60_000,
  );
});
