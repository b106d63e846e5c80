/** Large tensors are left where they lie while a model is written; the bytes are those of the plain protobuf writer. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { encodeModel, encodeModelPieces } from '../../../src/onnx/encode.js';
import { saveModel } from '../../../src/onnx/files.js';
import { onnx } from '../../../src/onnx/proto.js';

/** Weights in the main graph, in branches, and in attributes of nodes there; `rows` of 4 KiB each. */
const nested = (rows: number) =>
  parseModel(
    `<ir_version: 8, opset_import: ["" : 17]>
g (float[${rows},1024] x, bool c) => (float[${rows},1024] y) <float[${rows},1024] w, float[3] small, float[${
      rows
    },1024] v> { a = Add(x, w)
 b = If(c) <then_branch = t () => (float[${rows},1024] t1) <float[${
   rows
 },1024] u> { t0 = Add(a, u)\n t1 = Add(t0, v) }, else_branch = f () => (float[${rows},1024] f1) { f1 = Identity(a) }>
 y = Relu(b) }`,
    { randomInitializers: 3 },
  );

describe('encodeModelPieces', () => {
  // 16 rows are the size that is left aside; 512 rows are 2 MiB, where a length takes one byte more.
  it.each([1, 15, 16, 17, 31, 32, 511, 512, 513])(
    'gives the bytes of the plain writer with weights of %d × 4 KiB',
    (rows) => {
      const model = nested(rows);
      const { byteLength, pieces } = encodeModelPieces(model);
      const joined = Buffer.concat(pieces);
      expect(joined.length).toBe(byteLength);
      expect(pieces.length).toBe(rows < 16 ? 1 : 7);
      expect(Buffer.compare(joined, encodeModel(model))).toBe(0);
      expect(Buffer.compare(joined, onnx.ModelProto.encode(onnx.ModelProto.decode(joined)).finish())).toBe(0);
    },
  );
  it('hands the weights on without a copy, and a file holds the same bytes', () => {
    const model = nested(64);
    const weights = [...model.graph.initializers].find((v) => v.name === 'w')?.data?.bytes();
    expect(
      encodeModelPieces(model).pieces.some((p) => p.buffer === weights?.buffer && p.byteOffset === weights.byteOffset),
    ).toBe(true);
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'onnx-pieces-'));
    const { files } = saveModel(model, path.join(dir, 'm.onnx'));
    expect(Buffer.compare(fs.readFileSync(path.join(dir, 'm.onnx')), encodeModel(model))).toBe(0);
    expect(files[0]?.bytes).toBe(encodeModel(model).length);
    fs.rmSync(dir, { recursive: true });
  });
});
