/**
 * Every backend test model of the `onnx` package, through our reader and writer: outputs in onnxruntime must be
 * bit-equal before and after, and models that onnxruntime refuses must be refused alike.
 * Run scripts/backend-cases.py DIRECTORY first, then with QUANTBENCH_BACKEND_CASES=DIRECTORY.
 */
import fs from 'node:fs';
import path from 'node:path';
import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { QuantError } from '../../src/base/errors.js';
import type { DType } from '../../src/ir/dtype.js';
import { allGraphs, type Model } from '../../src/ir/model.js';
import type { Tensor } from '../../src/ir/tensor.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { printModel } from '../../src/ir/text/print.js';
import { assertValid } from '../../src/ir/verify.js';
import { decodeModel } from '../../src/onnx/decode.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { decodeTensorFile } from '../../src/onnx/tensor.js';

const directory = process.env['QUANTBENCH_BACKEND_CASES'];
const cases =
  directory === undefined
    ? []
    : fs
        .readdirSync(directory)
        .filter((c) => fs.existsSync(path.join(directory, c, 'model.onnx')))
        .sort();

const ARRAYS: Partial<Record<DType, (b: Uint8Array<ArrayBuffer>) => unknown>> = {
  float32: (b) => new Float32Array(b.buffer),
  float64: (b) => new Float64Array(b.buffer),
  int64: (b) => new BigInt64Array(b.buffer),
  uint64: (b) => new BigUint64Array(b.buffer),
  int32: (b) => new Int32Array(b.buffer),
  uint32: (b) => new Uint32Array(b.buffer),
  int16: (b) => new Int16Array(b.buffer),
  uint16: (b) => new Uint16Array(b.buffer),
  int8: (b) => new Int8Array(b.buffer),
  uint8: (b) => b,
  bool: (b) => b,
  float16: (b) => new Uint16Array(b.buffer),
};

/** The tensor as onnxruntime-node takes it, or undefined where it has no such type. */
function toOrt(tensor: Tensor): ort.Tensor | undefined {
  if (tensor.dtype === 'string') return new ort.Tensor('string', [...tensor.strings()], tensor.dims);
  const make = ARRAYS[tensor.dtype];
  return (
    make &&
    new ort.Tensor(tensor.dtype as 'float32', make(Uint8Array.from(tensor.bytes())) as Float32Array, tensor.dims)
  ); // types that ARRAYS has, onnxruntime has
}

function feedsOf(folder: string, model: Model): Record<string, ort.Tensor> | undefined {
  const data = path.join(folder, 'test_data_set_0');
  const feeds: Record<string, ort.Tensor> = {};
  for (const [i, input] of model.graph.inputs.entries()) {
    const file = path.join(data, `input_${i}.pb`);
    if (!fs.existsSync(file)) {
      if (input.data) continue;
      return undefined;
    }
    if (input.other) return undefined;
    const tensor = toOrt(decodeTensorFile(fs.readFileSync(file), { file }));
    if (!tensor) return undefined;
    feeds[input.name] = tensor;
  }
  return feeds;
}

/** The outputs by name, as text that compares bit for bit; or how onnxruntime refused. */
async function outcome(bytes: Uint8Array, feeds: Record<string, ort.Tensor> | undefined): Promise<string> {
  let session: ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(bytes, {
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 4,
    });
  } catch {
    return 'refused to load';
  }
  try {
    if (!feeds) return 'loaded';
    const out = await session.run(feeds);
    return JSON.stringify(
      session.outputNames.map((name) => {
        const t = out[name]!;
        return [
          name,
          t.type,
          t.dims,
          Array.isArray(t.data)
            ? t.data
            : Buffer.from(
                (t.data as Float32Array).buffer,
                (t.data as Float32Array).byteOffset,
                (t.data as Float32Array).byteLength,
              ).toString('base64'),
        ];
      }),
    ); // every non-string tensor has a typed array
  } catch {
    return 'refused to run';
  } finally {
    await session.release();
  }
}

/** Ops that draw random numbers without a seed give other outputs each run. */
const isRandom = (model: Model): boolean =>
  [model.graph, ...model.functions.map((f) => f.graph)].some((g) =>
    [...allGraphs(g)].some((inner) =>
      [...inner.nodes].some((n) => /^(Random|Bernoulli|Multinomial|Dropout)/.test(n.op)),
    ),
  );

describe.skipIf(directory === undefined)(
  'backend cases (skipped unless QUANTBENCH_BACKEND_CASES names the folder that scripts/backend-cases.py made)',
  () => {
    it('found the cases', () => expect(cases.length).toBeGreaterThan(1500));

    const counts: Record<string, number> = {};
    const count = (what: string): void => {
      counts[what] = (counts[what] ?? 0) + 1;
    };
    const problems: string[] = [];

    it('load, save, print and parse to the same model; onnxruntime agrees bit for bit', async () => {
      for (const name of cases) {
        const folder = path.join(directory!, name); // the suite is skipped without it
        const bytes = fs.readFileSync(path.join(folder, 'model.onnx'));
        let model: Model;
        try {
          model = decodeModel(bytes);
        } catch (error) {
          if (!(error instanceof QuantError)) throw error;
          // What we refuse must be something that cannot be used: onnxruntime refuses it, or it computes nothing.
          const runtime = await outcome(bytes, undefined);
          if (runtime === 'loaded' && error.code !== 'MODEL_EMPTY')
            problems.push(`${name}: we refuse (${error.code} ${error.message}), onnxruntime loads`);
          count(`refused by us: ${error.code}`);
          continue;
        }
        try {
          assertValid(model);
          const saved = encodeModel(model);
          if (Buffer.compare(encodeModel(decodeModel(saved)), saved) !== 0)
            problems.push(`${name}: bytes are not stable`);
          const text = printModel(model);
          if (text.includes('= ...')) count('text: has a sparse attribute');
          else {
            const reprinted = printModel(parseModel(text));
            if (reprinted !== text) problems.push(`${name}: text is not stable`);
            count('text: stable');
          }
          let feeds: Record<string, ort.Tensor> | undefined;
          try {
            feeds = isRandom(model) ? undefined : feedsOf(folder, model);
          } catch (error) {
            if (!(error instanceof QuantError)) throw error;
          }
          const [before, after] = [await outcome(bytes, feeds), await outcome(saved, feeds)];
          count(before.startsWith('[') ? 'onnxruntime: ran' : `onnxruntime: ${before}`);
          if (before !== after)
            problems.push(`${name}: onnxruntime ${before.slice(0, 80)} before, ${after.slice(0, 80)} after`);
        } catch (error) {
          problems.push(
            `${name}: ` +
              `${
                error instanceof Error
                  ? `${error.message} ${JSON.stringify((error as Partial<QuantError>).where ?? '')}`
                  : String(error)
              }`,
          );
        }
      }
      expect(problems, JSON.stringify(counts, undefined, 1)).toEqual([]);
      expect(counts['onnxruntime: ran']).toBeGreaterThan(1000);
    });
  },
);
