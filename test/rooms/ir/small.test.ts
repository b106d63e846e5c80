/** Attributes and uses are a Map and a Set in all but memory. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { Graph, Node, Value, type Attr, type Use } from '../../../src/ir/graph.js';
import { createModel } from '../../../src/ir/model.js';
import { SmallMap, SmallSet } from '../../../src/ir/small.js';
import { decodeModel } from '../../../src/onnx/decode.js';
import { encodeModel } from '../../../src/onnx/encode.js';

describe('SmallMap', () => {
  test('does what a Map does, however many entries there are', () => {
    const rng = createRng(7);
    for (let run = 0; run < 50; run++) {
      const [own, map] = [new SmallMap<Attr>({ _note: () => undefined }), new Map<string, Attr>()];
      for (let step = 0; step < 60; step++) {
        const name = `a${rng.int(14)}`;
        if (rng.int(3)) {
          const attr: Attr = { type: 'int', value: BigInt(step) };
          own.set(name, attr);
          map.set(name, attr);
        } else expect(own.delete(name)).toBe(map.delete(name));
        expect(own.get(name)).toBe(map.get(name));
        expect(own.has(name)).toBe(map.has(name));
        expect(own.size).toBe(map.size);
        expect([...own]).toEqual([...map]);
        expect([...own.keys()]).toEqual([...map.keys()]);
        expect([...own.values()]).toEqual([...map.values()]);
      }
      own.clear();
      expect([own.size, [...own]]).toEqual([0, []]);
    }
  });
});

describe('SmallSet', () => {
  test('does what a Set does, in the order in which they came', () => {
    const rng = createRng(3);
    const node = new Node('Add', [], ['y']);
    const all = Array.from({ length: 5 }, (_, index): Use => ({ node, index }));
    for (let run = 0; run < 50; run++) {
      const [own, set] = [new SmallSet<Use>(), new Set<Use>()];
      for (let step = 0; step < 40; step++) {
        const use = all[rng.int(all.length)]!; // an index of the list
        if (rng.int(2)) {
          own._add(use);
          set.add(use);
        } else {
          own._delete(use);
          set.delete(use);
        }
        expect(own.size).toBe(set.size);
        expect(own.has(use)).toBe(set.has(use));
        expect([...own]).toEqual([...set]);
        expect([...own.entries()]).toEqual([...set.entries()]);
      }
    }
  });
});

describe('a graph', () => {
  test('knows which ops its nodes have, and whether one may hold graphs', () => {
    const graph = new Graph();
    const relu = graph.add(new Node('Relu', [], ['y']));
    graph.add(new Node('Relu', [], ['z']));
    expect([graph.hasOp('Relu'), graph.hasOp('If'), graph.mayNest]).toEqual([true, false, false]);
    graph.remove(relu);
    expect(graph.hasOp('Relu')).toBe(true);
    const branch = graph.add(new Node('If', [], ['w']));
    branch.attrs.set('then_branch', { type: 'graph', value: new Graph() });
    expect([graph.hasOp('If'), graph.mayNest]).toEqual([true, true]);
    graph.remove(branch);
    expect(graph.hasOp('If')).toBe(false);
  });

  test('of a file takes at most 850 bytes for a node with its value', () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void; // the flag makes it
    const nodes = 20_000;
    const graph = new Graph();
    let x = graph.addInput(new Value('x'));
    for (let i = 0; i < nodes; i++)
      x = graph.add(new Node(i % 2 ? 'Relu' : 'Add', i % 2 ? [x] : [x, x], [`t${i}`])).outputs[0]!;
    graph.addOutput(x);
    const bytes = encodeModel(createModel(graph, 17));
    gc();
    const before = process.memoryUsage().heapUsed;
    const model = decodeModel(bytes);
    gc();
    expect(model.graph.nodes.size).toBe(nodes);
    expect((process.memoryUsage().heapUsed - before) / nodes).toBeLessThan(850); // 1,100 with a Map and a Set in each
  });
});
