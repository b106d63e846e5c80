/** Gradients against central differences of the model itself, along random directions. */
import { expect } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { gradients } from '../../../src/autodiff/gradients.js';
import type { GradientOptions } from '../../../src/autodiff/types.js';
import type { Feed, FeedTensor } from '../../../src/ir/feed.js';
import { Value } from '../../../src/ir/graph.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { randomFeed } from '../../../src/pipeline/feeds.js';
import { GraphBuilder } from '../../../src/rewrite/builder.js';
import { openModel } from '../../../src/runtime/open.js';

export interface RuleCase {
  /** ONNX text of a graph, its float type written `real`. Every float input is differentiated by. */
  readonly graph: string;
  /** float where onnxruntime has no float64 kernel. */
  readonly type?: 'double' | 'float';
  readonly opset?: number;
  /** Bounds of the inputs' values; standard normal without. */
  readonly within?: readonly [number, number];
  /** Values from which inputs keep away, for there the slope jumps and the steps in float32 are wide. */
  readonly kinks?: readonly number[];
  /** Values of an input, in place of random ones. */
  readonly given?: Readonly<Record<string, readonly number[]>>;
  readonly options?: Partial<GradientOptions>;
  /** Level of onnxruntime's own optimizer; default: all. */
  readonly optimization?: 'disabled';
}

/** The largest difference of a directional derivative, relative to the length of the gradient. */
export async function worstError(c: RuleCase, seed = 1): Promise<number> {
  const type = c.type ?? 'double';
  const model = parseModel(
    `<ir_version: 10, opset_import: ["" : ${c.opset ?? 21}]> g ${c.graph.replaceAll('real', type)}`,
    { randomInitializers: seed },
  );
  const dtype = type === 'double' ? 'float64' : 'float32';
  const wrt = c.options?.wrt ?? model.graph.inputs.filter((v) => v.dtype === dtype).map((v) => v.name);
  const names = model.graph.outputs.filter((v) => v.dtype === undefined || v.dtype === dtype).map((v) => v.name);
  addProjections(model, names, dtype);
  const made = gradients(model, { loss: 'loss', wrt, outputs: names, ...c.options });
  const rng = createRng(seed, c.graph);
  const drawAny = (): number => (c.within ? c.within[0] + (c.within[1] - c.within[0]) * rng.next() : rng.normal());
  const draw = (): number => {
    for (;;) {
      const x = drawAny();
      if (!c.kinks?.some((k) => Math.abs(x - k) < 0.2)) return x;
    }
  };
  const shapes = new Map(made.graph.inputs.map((v) => [v.name, v]));
  const feed: Record<string, FeedTensor> = {};
  for (const [name, v] of shapes) {
    const dims = (v.shape ?? []).map(Number);
    const values = c.given?.[name] ?? filled(dims, name.startsWith('projection') ? () => rng.normal() : draw);
    feed[name] = tensor(v, dims, values);
  }
  const session = await openModel(made, { label: c.graph, optimization: c.optimization ?? 'all' });
  try {
    const at = await session.run(feed);
    let worst = 0;
    for (const name of wrt) {
      const gradient = numbers(at[`gradient of ${name}`]!);
      const x = feed[name]!;
      const direction = gradient.map(() => rng.normal());
      const along = async (h: number): Promise<number> => {
        const moved = { ...feed, [name]: { ...x, data: shifted(x, direction, h) } };
        return projected(await session.run(moved, names), names, feed);
      };
      const got = gradient.reduce((n, g, i) => n + g * direction[i]!, 0);
      const wanted = type === 'double' ? await central(along, 1e-6) : await fourthOrder(along, 0.02);
      const length = Math.sqrt(gradient.reduce((n, g) => n + g * g, 0));
      worst = Math.max(worst, Math.abs(got - wanted) / Math.max(length, 0.1));
    }
    return worst;
  } finally {
    await session.close();
  }
}
/** Tolerance of {@link worstError}: rounding of the differences, whose steps are 1e-6 and 0.02. */
export const TOLERANCE = { double: 1e-6, float: 1e-3 } as const;

const central = async (f: (h: number) => Promise<number>, h: number): Promise<number> =>
  ((await f(h)) - (await f(-h))) / (2 * h);
const fourthOrder = async (f: (h: number) => Promise<number>, h: number): Promise<number> =>
  (8 * ((await f(h)) - (await f(-h))) - ((await f(2 * h)) - (await f(-2 * h)))) / (12 * h);

/** loss = Σ projection · output, over all outputs. */
function addProjections(model: Model, names: readonly string[], dtype: 'float32' | 'float64'): void {
  inferShapes(model);
  const b = new GraphBuilder(model);
  const parts = names.map((name, i) => {
    const y = model.graph.outputs.find((v) => v.name === name)!; // a name of an output
    const r = new Value(`projection${i}`);
    r.dtype = dtype;
    r.shape = y.shape;
    model.graph.addInput(r);
    return b.overAxes('ReduceSum', b.op('Mul', [y, r]), undefined, { attrs: { keepdims: 0 } });
  });
  model.graph.addOutput(b.op('Sum', parts, { name: 'loss', outputs: ['loss'] }));
}

function projected(results: Feed, names: readonly string[], feed: Feed): number {
  let total = 0;
  names.forEach((name, k) => {
    const [y, r] = [numbers(results[name]!), numbers(feed[`projection${k}`]!)];
    for (const [i, v] of y.entries()) total += v * r[i]!;
  });
  return total;
}

const filled = (dims: readonly number[], draw: () => number): number[] =>
  Array.from({ length: dims.reduce((n, d) => n * d, 1) }, draw);
// no texts here
export const numbers = (t: FeedTensor): number[] => Array.from(t.data as ArrayLike<number | bigint>, Number);

function tensor(v: Value, dims: readonly number[], values: readonly number[]): FeedTensor {
  const data =
    v.dtype === 'float64'
      ? Float64Array.from(values)
      : v.dtype === 'int64'
        ? BigInt64Array.from(values.map((x) => BigInt(Math.trunc(x))))
        : v.dtype === 'bool'
          ? Uint8Array.from(values.map((x) => (x > 0 ? 1 : 0)))
          : Float32Array.from(values);
  return { dtype: v.dtype ?? 'float32', dims, data };
}
function shifted(x: FeedTensor, direction: readonly number[], h: number): Float32Array | Float64Array {
  const values = numbers(x).map((v, i) => v + h * direction[i]!);
  return x.dtype === 'float64' ? Float64Array.from(values) : Float32Array.from(values);
}

/** Both models give the same outputs of those names on random inputs, or on those that are given. */
export async function expectAlike(a: Model, b: Model, outputs: readonly string[], given: Feed = {}): Promise<void> {
  const inputs = a.graph.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  const feed = { ...randomFeed(inputs, 3), ...given };
  const [wanted, got] = await Promise.all(
    [a, b].map(async (m) => {
      const session = await openModel(m);
      const results = await session.run(feed, outputs);
      await session.close();
      return results;
    }),
  );
  for (const name of outputs) {
    const exact = numbers(wanted![name]!);
    expect(got![name]!.dims).toEqual(wanted![name]!.dims);
    numbers(got![name]!).forEach((x, i) => expect(x).toBeCloseTo(exact[i]!, 5));
  }
}
