import { expect, it } from 'vitest';
import { Graph, Node, Value } from '../../../src/ir/graph.js';
import { createModel } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { settle } from '../../../src/quantize/settle.js';

/** Counts what is asked of it: the work of settling, whatever the machine. */
class Asked extends Set<Node> {
  asked = 0;
  override has(n: Node): boolean {
    this.asked++;
    return super.has(n);
  }
}

/** x → (Relu → Add c → Mul c)…: candidates all, of which none can stay, as nothing at the end runs in integers. */
function chain(n: number): { order: readonly Node[]; integer: Asked; x: Value } {
  const graph = new Graph();
  const x = graph.addInput(new Value('x'));
  const c = graph.addInitializer(new Value('c'), Tensor.f32([1]));
  let last = x;
  for (let i = 0; i < n; i++) {
    const op = ['Relu', 'Add', 'Mul'][i % 3]!; // one of three
    last = graph.add(new Node(op, op === 'Relu' ? [last] : [last, c], [`t${i}`])).outputs[0]!; // made with one output
  }
  graph.addOutput(last);
  inferShapes(createModel(graph, 17));
  const order = graph.topological();
  return { order, integer: new Asked(order), x };
}

it('a chain that comes apart from its end takes work in proportion to its length', () => {
  const work = [3000, 6000].map((n) => {
    const { order, integer, x } = chain(n);
    const why = new Map<Node, string>();
    settle(order, integer, new Map(), why, new Set([x]));
    expect(integer.size).toBe(0);
    expect(why.get(order[n - 2]!)).toBe('nothing after it runs in integers');
    return integer.asked;
  });
  expect(work[1]! / work[0]!).toBeLessThan(2.1);
  expect(work[0]!).toBeLessThan(3000 * 30);
});
