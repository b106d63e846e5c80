/** What passes do grows with the graph, not with its square: counted as reads of inputs and of uses, not timed. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Graph, Node, Value } from '../../../src/ir/graph.js';
import { createModel, type Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { optimizing } from '../../../src/passes/presets.js';
import { runPasses } from '../../../src/rewrite/pass.js';

type Grow = (g: Graph, x: Value, n: number) => Value;
const op = (g: Graph, name: string, inputs: readonly Value[], y: string): Value =>
  g.add(new Node(name, inputs, [y])).outputs[0]!; // one output was asked for
const constant = (g: Graph, i: number): Value =>
  g.addInitializer(new Value(`c${i}`), Tensor.f32(Array.from({ length: 8 }, (_, k) => 1 + i + k / 8)));

const SHAPES: Readonly<Record<string, Grow>> = {
  chain(g, x, n) {
    const c = constant(g, 0);
    for (let i = 0; i < n; i++)
      x = i % 3 ? op(g, i % 3 === 1 ? 'Add' : 'Mul', [x, c], `t${i}`) : op(g, 'Relu', [x], `t${i}`);
    return x;
  },
  'different constants of one shape'(g, x, n) {
    for (let i = 0; i < n; i++) x = op(g, i % 2 ? 'Mul' : 'Max', [x, constant(g, i)], `t${i}`);
    return x;
  },
  'equal expressions'(g, x, n) {
    const c = constant(g, 0);
    const all = Array.from({ length: n }, (_, i) => op(g, 'Mul', [x, c], `t${i}`));
    return op(g, 'Sum', all, 'sum');
  },
  'users of one value'(g, x, n) {
    const all = Array.from({ length: n }, (_, i) =>
      op(g, 'Relu', [op(g, 'Add', [x, constant(g, i)], `a${i}`)], `t${i}`),
    );
    return op(g, 'Sum', all, 'sum');
  },
};

function modelOf(shape: string, n: number): Model {
  const graph = new Graph();
  const x = graph.addInput(new Value('x'));
  [x.dtype, x.shape] = ['float32', [1, 8]];
  graph.addOutput(SHAPES[shape]!(graph, x, n)); // a key of it
  return createModel(graph, 17);
}

/** How often inputs and uses are read while the default passes run. */
async function work(shape: string, n: number): Promise<number> {
  const model = modelOf(shape, n);
  inferShapes(model);
  const inputs = vi.spyOn(Node.prototype, 'inputs', 'get');
  const uses = vi.spyOn(Value.prototype, 'uses', 'get');
  const bytes = vi.spyOn(Tensor.prototype, 'bytes');
  await runPasses(model, optimizing.default, { evaluate: () => Promise.reject(new Error('no runtime')), rounds: 30 });
  return inputs.mock.calls.length + uses.mock.calls.length + bytes.mock.calls.length;
}

describe('all passes of the default level', () => {
  afterEach(() => vi.restoreAllMocks());
  test.each(Object.keys(SHAPES))('read inputs, uses and constants of a graph linearly: %s', async (shape) => {
    const once = await work(shape, 200);
    vi.restoreAllMocks();
    const fourTimes = await work(shape, 800);
    expect(once).toBeGreaterThan(200);
    expect(fourTimes / once).toBeLessThan(4.5); // 16 where something looks at every pair
  });
});
