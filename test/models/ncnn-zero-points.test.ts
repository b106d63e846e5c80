/**
 * Zero points that are folded into biases give in ncnn what the quantized ONNX model gives: borders, strides, groups and
 * clamps too. Needs a folder with a virtual environment of ncnn in QUANTBENCH_RUNTIMES.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { formats } from '../../src/formats/index.js';
import { writeModel } from '../../src/formats/write.js';
import { cloneModel } from '../../src/ir/clone.js';
import type { FeedTensor } from '../../src/ir/feed.js';
import type { Value } from '../../src/ir/graph.js';
import type { Model } from '../../src/ir/model.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { Foreign } from '../../src/runtime/foreign.js';
import { Session } from '../../src/runtime/session.js';
import { chooseParams } from '../../src/scheme/params.js';
import type { QuantizedGraph } from '../../src/scheme/quantized.js';
import { ncnn } from '../../src/targets/ncnn/index.js';
import { inputOf, netOf, quantized } from '../rooms/targets/graphs.js';

const python = path.join(process.env.QUANTBENCH_RUNTIMES ?? '', ncnn.name, 'bin', 'python');
const there = process.env.QUANTBENCH_RUNTIMES !== undefined && existsSync(python);
const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-ncnn-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

// Sixteen channels, which ncnn packs by eight; what is read twice; a range on both sides of zero, and one below it.
const NET = netOf(`(float[N,4,9,9] x) => (float[N,6,5,10] y)
  <float[16,4,3,3] w, float[16] b, float[16,1,3,3] d, float[16] c, float[16,16,3,3] v, float[6,16,1,1] p,
   float[6,16,3,3] q, float[6] e, float low = {-0.7}, float high = {0.4}, float top = {-0.05}, float under = {-9}> {
  a = Conv<pads = [1,2,0,1], strides = [2,1]>(x, w, b) r = Relu(a)
  g = Conv<group = 16, pads = [1,1,1,1]>(r, d, c) k = Clip(g, low, high)
  m = Conv<pads = [2,2,2,2], dilations = [2,2]>(k, v) n = Clip(m, under, top)
  s = Conv(n, p) t = Conv<pads = [1,1,1,1]>(n, q, e) y = Add(s, t) }`);

const x: FeedTensor = {
  dtype: 'float32',
  dims: [1, 4, 9, 9],
  data: Float32Array.from({ length: 324 }, (_, k) => Math.sin(k * 1.7) * 2 + Math.cos(k * 0.31)),
};
const numbers = ({ data }: FeedTensor): number[] => Array.from({ length: data.length }, (_, i) => Number(data[i]));
async function run(model: Model): Promise<Readonly<Record<string, FeedTensor>>> {
  const session = await Session.open(encodeModel(model));
  try {
    return await session.run({ x });
  } finally {
    await session.close();
  }
}

/** Every tensor and weight with the range that it has. */
async function fitted(graph: QuantizedGraph): Promise<QuantizedGraph> {
  const { model } = cloneModel(graph.model);
  for (const n of model.graph.nodes) for (const y of n.outputs) if (!y.isGraphOutput) model.graph.addOutput(y);
  const seen: Readonly<Record<string, FeedTensor>> = { ...(await run(model)), x };
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

it.skipIf(!there)(
  'computes what the quantized model computes',
  async () => {
    const graph = await fitted(await quantized(ncnn, NET));
    const zeros = ['r', 'k', 'n'].map((name) => {
      const value = [...graph.model.graph.nodes].flatMap((n) => n.outputs).find((v) => v.name === name);
      return value && graph.params.get(value)?.zeroPoint[0];
    });
    expect(zeros[0]).toBe(-127);
    expect(zeros[1]).toBeGreaterThan(10);
    expect(zeros[2]).toBe(127);
    const qdq = formats.find((f) => f.name === 'qdq')!; // there is one
    const wanted = numbers((await run(writeModel(qdq, graph, ncnn).model)).y!);
    const { files } = ncnn.emitter.emit(inputOf(graph));
    for (const f of files) writeFileSync(path.join(dir, f.path), f.data);
    const runtime = new Foreign({
      python,
      program: path.join(import.meta.dirname, '..', '..', 'src', 'targets', 'shared', 'adapter.py'),
      adapter: path.join(import.meta.dirname, '..', '..', 'src', 'targets', 'ncnn', 'adapter.py'),
      threads: 1,
      inputs: [{ name: 'x', dtype: 'float32', shape: [1, 4, 9, 9] }],
      outputs: [{ name: 'y', dtype: 'float32', shape: undefined }],
      name: 'ncnn',
      packages: ncnn.adapter.packages,
    });
    try {
      const opened = await runtime.open('quantized', path.join(dir, files[0]!.path)); // files were written
      const got = numbers((await opened.run({ x })).y!);
      expect(got).toHaveLength(wanted.length);
      const most = Math.max(...wanted.map(Math.abs));
      const apart = wanted.map((v, i) => Math.abs(v - got[i]!));
      // a few codes are rounded to the other side of a half
      expect(Math.max(...apart) / most).toBeLessThan(0.03);
      expect(apart.reduce((a, v) => a + v, 0) / apart.length / most).toBeLessThan(0.003);
    } finally {
      runtime.close();
    }
  },
  60_000,
);
