/**
 * Every backend test model of the `onnx` package through shape inference, the cleaning passes and opset conversion:
 * inferred shapes are those of the expected outputs, and outputs in onnxruntime stay what they were.
 * Run scripts/backend-cases.py DIRECTORY first, then with QUANTBENCH_BACKEND_CASES=DIRECTORY.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { QuantError } from '../../src/base/errors.js';
import type { Feed } from '../../src/ir/feed.js';
import type { Model } from '../../src/ir/model.js';
import { inlineFunctions } from '../../src/ir/inline.js';
import { verify } from '../../src/ir/verify.js';
import { loadModel } from '../../src/onnx/files.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { decodeTensorFile } from '../../src/onnx/tensor.js';
import { forgetInferred, inferShapes } from '../../src/ops/infer.js';
import { convertOpset } from '../../src/passes/convert-opset.js';
import { cleaning, optimizing, type OptimizeLevel } from '../../src/passes/presets.js';
import { feedOf } from '../../src/pipeline/feeds.js';
import { optimizeGraph } from '../../src/standalone/optimize.js';
import { difference, TOLERANCE } from '../../src/standalone/same-outputs.js';
import { runPasses } from '../../src/rewrite/pass.js';
import { evaluateModel } from '../../src/runtime/open.js';
import { Session } from '../../src/runtime/session.js';

const LEVELS = Object.keys(optimizing) as OptimizeLevel[]; // its keys are the levels
/** Small constants take the place of the nodes that compute them. */
const SLACK_BYTES = 4096;
const directory = process.env['QUANTBENCH_BACKEND_CASES'];
const cases =
  directory === undefined
    ? []
    : fs
        .readdirSync(directory)
        .filter((c) => fs.existsSync(path.join(directory, c, 'model.onnx')))
        .sort();

function feedsOf(folder: string, model: Model): Feed | undefined {
  const feeds: Record<string, Feed[string]> = {};
  for (const [i, input] of model.graph.inputs.entries()) {
    const file = path.join(folder, 'test_data_set_0', `input_${i}.pb`);
    if (!fs.existsSync(file)) {
      if (input.data) continue;
      return undefined;
    }
    if (input.other) return undefined;
    try {
      feeds[input.name] = feedOf(decodeTensorFile(fs.readFileSync(file), { file }));
    } catch {
      return undefined;
    } // types that onnxruntime-node cannot be fed
  }
  return feeds;
}

async function outputs(bytes: Uint8Array, feed: Feed): Promise<Feed | string> {
  let session: Session | undefined;
  try {
    session = await Session.open(bytes, { optimization: 'disabled' });
    return await session.run(feed);
  } catch (e) {
    if (e instanceof QuantError) return e.message;
    throw e;
  } finally {
    await session?.close();
  }
}

interface Runnable {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly feed: Feed;
  readonly expected: Feed;
  load(): Model;
}

/** The cases that can be read, fed and run in onnxruntime, with what they give there. */
async function* runnable(): AsyncGenerator<Runnable> {
  for (const name of cases) {
    const folder = path.join(directory!, name); // set where there are cases
    const file = path.join(folder, 'model.onnx');
    let model: Model;
    try {
      model = loadModel(file);
    } catch (e) {
      if (e instanceof QuantError) continue;
      throw e;
    }
    const feed = feedsOf(folder, model);
    if (!feed) continue;
    const bytes = fs.readFileSync(file);
    const expected = await outputs(bytes, feed);
    if (typeof expected !== 'string') yield { name, bytes, feed, expected, load: () => loadModel(file) };
  }
}

/** What is wrong with a model made of a case's: '' where it gives the same outputs. */
async function compare({ name, feed, expected }: Runnable, model: Model): Promise<string> {
  const broken = verify(model)[0];
  if (broken) return broken.message;
  const inputs = new Set(model.graph.inputs.map((v) => v.name));
  const after = await outputs(
    encodeModel(model),
    Object.fromEntries(Object.entries(feed).filter(([k]) => inputs.has(k))),
  );
  if (typeof after === 'string') return after;
  const found = difference(expected, after);
  return found.error > TOLERANCE && !/dropout|bernoulli|random|training/i.test(name)
    ? `'${found.output}' differs by ${found.error}`
    : '';
}

/** The problem of a step, '' for none. A model that a step refuses as unsupported is none. */
async function problem(step: () => Promise<string>): Promise<string> {
  try {
    return await step();
  } catch (e) {
    if (!(e instanceof QuantError)) throw e;
    return e.code === 'MODEL_UNSUPPORTED' ? '' : `${e.code} ${e.message}`;
  }
}

describe.skipIf(directory === undefined)(
  'backend models (skipped unless QUANTBENCH_BACKEND_CASES names a folder of cases)',
  () => {
    it('have the shapes that inference says', () => {
      const wrong: string[] = [];
      let known = 0;
      for (const c of cases) {
        const folder = path.join(directory!, c);
        let model: Model;
        try {
          model = loadModel(path.join(folder, 'model.onnx'));
          inlineFunctions(model);
        } catch (e) {
          if (e instanceof QuantError) continue;
          throw e;
        }
        const declared = model.graph.outputs.map((o) => ({ shape: o.shape, dtype: o.dtype }));
        for (const o of model.graph.outputs) {
          o.shape = undefined;
          o.dtype = undefined;
        }
        forgetInferred(model);
        inferShapes(model);
        model.graph.outputs.forEach((o, i) => {
          const file = path.join(folder, 'test_data_set_0', `output_${i}.pb`);
          if (!o.shape) return;
          known++;
          let dims: readonly (number | string | null)[] | undefined = declared[i]!.shape;
          try {
            dims = decodeTensorFile(fs.readFileSync(file), { file }).dims;
          } catch {
            /* sequences, or no data: the declared shape stands */
          }
          if (!dims) return;
          if (
            dims.length !== o.shape.length ||
            o.shape.some((d, k) => typeof d === 'number' && typeof dims[k] === 'number' && d !== dims[k])
          )
            wrong.push(`${c}: output ${i} inferred [${o.shape.join(',')}], is [${dims.join(',')}]`);
          if (o.dtype && declared[i]!.dtype && o.dtype !== declared[i]!.dtype)
            wrong.push(`${c}: output ${i} inferred ${o.dtype}, is ${declared[i]!.dtype}`);
        });
      }
      expect(wrong).toEqual([]);
      expect(known).toBeGreaterThan(1000);
    });

    it('keep their outputs through cleaning and conversion to the newest opset of their tests', async () => {
      const wrong: string[] = [];
      let compared = 0;
      for await (const c of runnable()) {
        compared++;
        const found = await problem(async () => {
          const model = c.load();
          inlineFunctions(model);
          await runPasses(model, cleaning, { evaluate: evaluateModel });
          if ((model.opsets.get('') ?? 0) >= 7) convertOpset(model, Math.max(21, model.opsets.get('') ?? 0));
          return compare(c, model);
        });
        if (found) wrong.push(`${c.name}: ${found}`);
      }
      expect(wrong).toEqual([]);
      expect(compared).toBeGreaterThan(1000);
    });

    it(
      'keep their outputs through every level of optimising, which finds nothing the second time and makes no ' +
        'file much larger',
      async () => {
        const wrong: string[] = [];
        let compared = 0;
        for await (const c of runnable()) {
          compared++;
          for (const level of LEVELS) {
            const found = await problem(async () => {
              const model = c.load();
              await optimizeGraph(model, { level });
              const different = await compare(c, model);
              if (different) return different;
              const again = (await optimizeGraph(model, { level })).find((t) => t.changes > 0);
              if (again) return `the second run changes something in ${again.pass}`;
              forgetInferred(model);
              const size = encodeModel(model).length;
              return level !== 'aggressive' && size > 2 * c.bytes.length + SLACK_BYTES
                ? `${c.bytes.length} bytes became ${size}`
                : '';
            });
            if (found) wrong.push(`${c.name}, ${level}: ${found}`);
          }
        }
        expect(wrong).toEqual([]);
        expect(compared).toBeGreaterThan(1000);
      },
    );
  },
);
