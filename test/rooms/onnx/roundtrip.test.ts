import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Model } from '../../../src/ir/model.js';
import { allGraphs } from '../../../src/ir/model.js';
import { assertValid } from '../../../src/ir/verify.js';
import { decodeModel } from '../../../src/onnx/decode.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { loadModel, saveModel } from '../../../src/onnx/files.js';
import { outline } from './outline.js';

const models = path.resolve(import.meta.dirname, '../../../../shared/models');
const names = fs.existsSync(models) ? fs.readdirSync(models).filter((f) => f.endsWith('.onnx')) : [];
let dir: string;
beforeAll(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'onnx-roundtrip-'));
});
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

describe.skipIf(names.length === 0)('every shared model (skipped where ../shared/models is absent)', () => {
  it.each(names)('%s: load → save → load keeps everything, and bytes are stable', (name) => {
    const model = loadModel(path.join(models, name));
    assertValid(model);
    const file = path.join(dir, name);
    const { files } = saveModel(model, file);
    expect(files).toEqual([{ path: file, bytes: fs.statSync(file).size }]);
    const again = loadModel(file);
    expect(outline(again)).toEqual(outline(model));
    const weights = (m: Model): Uint8Array[] =>
      [...allGraphs(m.graph)].flatMap((g) => [...g.initializers].map((v) => v.data!.bytes()));
    const after = weights(again);
    weights(model).forEach((bytes, i) => expect(Buffer.compare(bytes, after[i]!)).toBe(0));
    expect(Buffer.compare(encodeModel(again), fs.readFileSync(file))).toBe(0);
  });

  it('resnet8 computes the same in onnxruntime before and after', async () => {
    const file = path.join(models, 'mlperf-tiny-resnet8-cifar10.onnx');
    if (!fs.existsSync(file)) return;
    const bytes = fs.readFileSync(file);
    const run = async (model: Uint8Array): Promise<ort.Tensor> => {
      const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1 });
      const input = decodeModel(bytes).graph.inputs[0]!;
      const dims = input.shape!.map((d) => (typeof d === 'number' ? d : 1));
      const data = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
      const out = await session.run({ [input.name]: new ort.Tensor('float32', data, dims) });
      return out[session.outputNames[0]!]!;
    };
    expect((await run(encodeModel(decodeModel(bytes)))).data).toEqual((await run(bytes)).data);
  });
});
