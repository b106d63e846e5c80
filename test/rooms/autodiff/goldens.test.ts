/** Gradients, losses and steps against PyTorch's, made by scripts/golden-gradients.py. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { addLoss } from '../../../src/autodiff/add-loss.js';
import { addOptimiser } from '../../../src/autodiff/add-optimiser.js';
import { gradients } from '../../../src/autodiff/gradients.js';
import type { Feed, FeedTensor } from '../../../src/ir/feed.js';
import { Value } from '../../../src/ir/graph.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { openModel } from '../../../src/runtime/open.js';
import { numbers } from './check.js';

interface Packed {
  readonly dtype: 'float32' | 'int64';
  readonly dims: readonly number[];
  readonly data: string;
}
interface OperatorCase {
  readonly name: string;
  readonly graph: string;
  readonly opset: number;
  readonly batchNorm?: 'batch';
  readonly inputs: Readonly<Record<string, Packed>>;
  readonly gradients: Readonly<Record<string, Packed>>;
}
interface LossCase {
  readonly loss: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly prediction: Packed;
  readonly targets: Readonly<Record<string, Packed>>;
  readonly value: number;
  readonly gradient: Packed;
}
interface OptimiserCase {
  readonly optimiser: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly rate: number;
  readonly weight: Packed;
  readonly gradients: readonly Packed[];
  readonly after: readonly Packed[];
}

const dir = path.join(import.meta.dirname, '..', '..', 'golden', 'gradients');
// The script wrote them in these shapes.
const read = <T>(name: string): readonly T[] =>
  (JSON.parse(readFileSync(path.join(dir, `${name}.json`), 'utf8')) as { readonly cases: readonly T[] }).cases;
const operators = readdirSync(dir)
  .map((f) => path.basename(f, '.json'))
  .filter((name) => name !== 'losses' && name !== 'optimisers')
  .sort();

function unpack({ dtype, dims, data }: Packed): FeedTensor {
  const bytes = Uint8Array.from(Buffer.from(data, 'base64')).buffer;
  return { dtype, dims, data: dtype === 'int64' ? new BigInt64Array(bytes) : new Float32Array(bytes) };
}
const unpackAll = (all: Readonly<Record<string, Packed>>): Feed =>
  Object.fromEntries(Object.entries(all).map(([k, v]) => [k, unpack(v)]));

/** float32 beside float64: a share of the largest element. */
const TOLERANCE = 2e-5;
function expectClose(got: FeedTensor | undefined, wanted: Packed): void {
  expect(got?.dims).toEqual(wanted.dims);
  const w = numbers(unpack(wanted));
  const most = Math.max(...w.map(Math.abs), 0.1);
  const worst = numbers(got!).reduce((n, v, i) => Math.max(n, Math.abs(v - w[i]!)), 0);
  expect(worst / most).toBeLessThan(TOLERANCE);
}
async function run(model: Model, feed: Feed): Promise<Record<string, FeedTensor>> {
  const session = await openModel(model);
  try {
    return await session.run(feed);
  } finally {
    await session.close();
  }
}
const parse = (graph: string, opset = 21): Model =>
  parseModel(`<ir_version: 10, opset_import: ["" : ${opset}]> g ${graph}`);

describe.each(operators.map((name) => [name, read<OperatorCase>(name)] as const))('%s', (_, cases) => {
  it.each(cases.map((c) => [c.name, c] as const))('%s', async (_name, c) => {
    const wrt = Object.keys(c.gradients);
    const made = gradients(parse(c.graph, c.opset), { loss: 'loss', wrt, batchNorm: c.batchNorm ?? 'frozen' });
    const results = await run(made, unpackAll(c.inputs));
    for (const name of wrt) expectClose(results[`gradient of ${name}`], c.gradients[name]!);
  });
});

describe('losses', () => {
  it.each(read<LossCase>('losses').map((c) => [`${c.loss} ${JSON.stringify(c.options)}`, c] as const))(
    '%s',
    async (_, c) => {
      const model = parse(`(float[${c.prediction.dims.join()}] x) => (y) { y = Identity (x) }`);
      const withLoss = addLoss(model, [{ loss: c.loss, of: 'y', options: c.options }]);
      const made = gradients(withLoss, { loss: 'loss', wrt: ['x'] });
      const { target, mask } = unpackAll(c.targets);
      const feed = { x: unpack(c.prediction), 'target of y': target!, ...(mask ? { 'target of y mask': mask } : {}) };
      const results = await run(made, feed);
      expect(results.loss?.dims).toEqual([]);
      expect(numbers(results.loss!)[0]! / c.value).toBeCloseTo(1, 5);
      expectClose(results['gradient of x'], c.gradient);
    },
  );
});

describe('optimisers', () => {
  it.each(read<OptimiserCase>('optimisers').map((c) => [`${c.optimiser} ${JSON.stringify(c.options)}`, c] as const))(
    '%s',
    async (_, c) => {
      const given = parse('(float[2,3] g) => () { }');
      const w = new Value('w');
      w.dtype = 'float32';
      w.shape = [2, 3];
      given.graph.addInput(w);
      const node = [...parse('(float[2,3] g) => (y) { y = Identity (g) }').graph.nodes][0]!;
      node.graph?.removeOutput(0);
      node.graph?.remove(node);
      node.setInput(0, given.graph.inputs[0]!);
      given.graph.add(node);
      const gradient = node.outputs[0]!;
      gradient.name = 'gradient of w';
      gradient.shape = [2, 3];
      gradient.dtype = 'float32';
      given.graph.addOutput(gradient);
      const { model, loop } = addOptimiser(given, { optimiser: c.optimiser, options: c.options, parameters: ['w'] });
      const session = await openModel(model);
      try {
        const state: Record<string, FeedTensor> = {};
        for (const { input, shape } of loop)
          state[input] = { dtype: 'float32', dims: shape, data: new Float32Array(6) };
        state.w = unpack(c.weight);
        const scalar = (v: number): FeedTensor => ({ dtype: 'float32', dims: [], data: Float32Array.of(v) });
        for (const [i, g] of c.gradients.entries()) {
          const feed = { ...state, g: unpack(g), 'learning rate': scalar(c.rate), step: scalar(i + 1) };
          const results = await session.run(feed);
          for (const { input, output } of loop) state[input] = results[output]!;
          expectClose(state.w, c.after[i]!);
        }
      } finally {
        await session.close();
      }
    },
  );
});
