/**
 * What the LiteRT writer makes, in LiteRT: small models in float32, in float16 and on codes, against onnxruntime with
 * the same numbers. Needs a virtual environment `litert` with ai-edge-litert and numpy in the folder that
 * QUANTBENCH_RUNTIMES names.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QuantError } from '../../src/base/errors.js';
import type { Feed } from '../../src/ir/feed.js';
import type { Model } from '../../src/ir/model.js';
import { openModel } from '../../src/runtime/open.js';
import { emitter } from '../../src/targets/litert/emitter.js';
import type { EmitInput } from '../../src/targets/types.js';
import { CASES } from '../rooms/targets/litert/cases.js';
import { betweenProducts, dynamic, feedOf, floating, parsed, quantized } from '../rooms/targets/litert/emit.js';

const python = path.join(process.env.QUANTBENCH_RUNTIMES ?? '', 'litert', 'bin', 'python');
const absent = !process.env.QUANTBENCH_RUNTIMES || !existsSync(python);
if (absent) console.warn('skipped: QUANTBENCH_RUNTIMES names no folder with an environment litert');

interface Answer {
  readonly outputs?: Readonly<Record<string, { readonly dims: readonly number[]; readonly data: readonly number[] }>>;
  readonly error?: string;
}
interface Made {
  readonly wanted: Feed;
  readonly answer: Answer;
}
const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-litert-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function outputsOf(model: Model, feed: Feed): Promise<Feed> {
  const session = await openModel(model, { optimization: 'disabled', threads: 1 });
  try {
    return await session.run(feed);
  } finally {
    await session.close();
  }
}

/** Writes all, and runs them in one process. */
async function runAll(inputs: ReadonlyMap<string, EmitInput>): Promise<Map<string, Made>> {
  const wanted: Feed[] = [];
  const jobs: object[] = [];
  for (const input of inputs.values()) {
    const { files } = await emitter.emit(input);
    const file = path.join(dir, `${jobs.length}.tflite`);
    writeFileSync(file, files[0]?.data ?? '');
    const feed = feedOf(input.graph.model);
    wanted.push(await outputsOf(input.onnx, feed));
    const given = Object.entries(feed).map(([name, t]) => [name, { dims: t.dims, data: Array.from(t.data, Number) }]);
    jobs.push({ file, inputs: Object.fromEntries(given) });
  }
  const [from, to] = [path.join(dir, 'jobs.json'), path.join(dir, 'answers.json')];
  writeFileSync(from, JSON.stringify(jobs));
  execFileSync(python, [path.join(import.meta.dirname, 'litert.py'), from, to], { stdio: 'ignore' });
  const answers = JSON.parse(readFileSync(to, 'utf8')) as Answer[];
  return new Map([...inputs.keys()].map((name, i) => [name, { wanted: wanted[i]!, answer: answers[i]! }]));
}

/** Signal to noise in dB, the worst of all outputs. */
function decibels({ wanted, answer }: Made): number {
  expect(answer.error).toBeUndefined();
  return Math.min(
    ...Object.entries(wanted).map(([name, t]) => {
      const got = answer.outputs?.[name];
      expect(got?.dims).toEqual(t.dims);
      let [signal, noise] = [0, 0];
      Array.from(t.data, Number).forEach((x, i) => {
        signal += x * x;
        noise += (x - got!.data[i]!) ** 2; // of the same size
      });
      return noise === 0 ? Infinity : 10 * Math.log10(signal / noise);
    }),
  );
}

describe.skipIf(absent).each([
  ['float32', 90],
  ['float16', 50],
] as const)('%s', (precision, least) => {
  let made: Map<string, Made>;
  beforeAll(async () => {
    const cases = Object.entries(CASES).map(([name, { graph, opset }]) => [name, parsed(graph, opset)] as const);
    made = await runAll(new Map(cases.map(([name, model]) => [name, floating(model, precision)])));
  });
  it.each(Object.keys(CASES))('%s', (name) => expect(decibels(made.get(name)!)).toBeGreaterThan(least));
});

describe.skipIf(absent)('int8', () => {
  const names = Object.entries(CASES).flatMap(([name, c]) => (c.float || c.opset === 11 ? [] : [name]));
  let made: Map<string, Made>;
  beforeAll(async () => {
    const inputs = new Map<string, EmitInput>();
    for (const name of names)
      inputs.set(name, quantized(betweenProducts(parsed(CASES[name]!.graph, CASES[name]!.opset))));
    made = await runAll(inputs);
  });
  it.each(names)('%s', (name) => expect(decibels(made.get(name)!)).toBeGreaterThan(CASES[name]!.least ?? 30));
});

describe.skipIf(absent)('weights in codes beside floats', () => {
  const names = ['conv padded alike', 'conv depthwise', 'Gemm', 'MatMul by a matrix'];
  let made: Map<string, Made>;
  beforeAll(async () => {
    const parse = (name: string): Model => parsed(CASES[name]!.graph, CASES[name]!.opset);
    made = await runAll(
      new Map(
        names.flatMap((name) => [
          [name, dynamic(parse(name))],
          [`${name}, stored`, dynamic(parse(name), true)],
        ]),
      ),
    );
  });
  // 8 bits of weights with ranges of −4 to 4
  it.each(names.flatMap((n) => [n, `${n}, stored`]))('%s', (name) =>
    expect(decibels(made.get(name)!)).toBeGreaterThan(25),
  );
});

it('a model that LiteRT cannot hold is refused by node', async () => {
  const model = parsed('g (float[1,4] x) => (float[1,4] y) { [n] y = Asinh(x) }');
  expect(emitter.refuses(floating(model).graph)).toMatchObject([{ node: 'n', op: 'Asinh' }]);
  await expect(emitter.emit(floating(model))).rejects.toThrow(QuantError);
});
