import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import type { GraphFacts } from '../../../src/record/index.js';
import { fold } from '../../../src/report/html/graph-fold.js';
import { layout, NODE } from '../../../src/report/html/graph-layout.js';
import { renderHtml } from '../../../src/report/html.js';
import { makeRecord } from './record.js';

type Edges = [number, number][];
const chain = (n: number): Edges => Array.from({ length: n - 1 }, (_, i) => [i, i + 1]);

describe('the layout of a graph', () => {
  it('puts a chain on one line, one rank a node', () => {
    const { places, height } = layout(4, chain(4));
    expect(new Set(places.map((p) => p.x)).size).toBe(1);
    expect(places.map((p) => p.y)).toEqual([26, 92, 158, 224]);
    expect(height).toBe(4 * NODE.height + 3 * 30 + 16);
  });
  it('leads an edge that skips ranks past the nodes between', () => {
    const { places, edges } = layout(4, [
      [0, 1],
      [1, 2],
      [2, 3],
      [0, 3],
    ]);
    const skip = edges.find((e) => e.from === 0 && e.to === 3)!;
    expect(skip.path).toHaveLength(4);
    for (const bend of skip.path.slice(1, 3))
      for (const p of places) if (p.y === bend.y) expect(Math.abs(bend.x - p.x)).toBeGreaterThan(NODE.width / 2);
  });
  it('never lets nodes of a rank overlap, and all edges go down', () => {
    const rng = createRng(1);
    const n = 200;
    const edges: Edges = Array.from({ length: 420 }, () => {
      const a = rng.int(n - 1);
      return [a, a + 1 + rng.int(Math.min(12, n - 1 - a))];
    });
    const drawn = layout(n, edges);
    const ranks = new Map<number, number[]>();
    for (const p of drawn.places) ranks.set(p.y, [...(ranks.get(p.y) ?? []), p.x]);
    for (const xs of ranks.values()) {
      xs.sort((a, b) => a - b);
      xs.slice(1).forEach((x, i) => expect(x - xs[i]!).toBeGreaterThanOrEqual(NODE.width));
    }
    for (const e of drawn.edges) e.path.slice(1).forEach((p, i) => expect(p.y).toBeGreaterThan(e.path[i]!.y));
    for (const p of drawn.places) {
      expect(p.x).toBeGreaterThanOrEqual(NODE.width / 2);
      expect(p.x).toBeLessThanOrEqual(drawn.width - NODE.width / 2);
    }
  });
  it('stands cycles, loops, doubled edges and edges to nowhere', () => {
    const drawn = layout(3, [
      [0, 1],
      [1, 2],
      [2, 1],
      [0, 0],
      [0, 1],
      [0, 7],
      [-1, 2],
      [0.5, 1],
    ]);
    expect(new Set(drawn.places.map((p) => p.y)).size).toBe(3);
    expect(drawn.edges.map((e) => [e.from, e.to])).toEqual([
      [0, 1],
      [1, 2],
    ]);
    expect(layout(0, [])).toEqual({ width: 0, height: 0, places: [], edges: [] });
  });
});

describe('folding', () => {
  const graph = (n: number, edges: Edges, region = (_: number): 'integer' | 'float' => 'integer'): GraphFacts => ({
    nodes: Array.from({ length: n }, (_, i) => ({ name: `n${i}`, op: 'Relu', region: region(i) })),
    edges,
  });
  it('leaves small graphs alone', () => {
    expect(fold(graph(3, chain(3)), 3).blocks.map((b) => b.members)).toEqual([[0], [1], [2]]);
  });
  it('makes chains of one region one block', () => {
    const folded = fold(
      graph(6, chain(6), (i) => (i === 3 ? 'float' : 'integer')),
      5,
    );
    expect(folded.blocks.map((b) => [b.region, b.members])).toEqual([
      ['integer', [0, 1, 2]],
      ['float', [3]],
      ['integer', [4, 5]],
    ]);
    expect(folded.edges).toEqual([
      [0, 1],
      [1, 2],
    ]);
  });
  it('then runs of the order, of any shape, so that the limit holds and nothing gets lost', () => {
    const edges = Array.from({ length: 4999 }, (_, i): [number, number] => [i, i + 1 + ((i * 7) % 3)]).filter(
      ([, b]) => b < 5000,
    );
    const folded = fold(
      graph(5000, edges, (i) => (i % 2 ? 'float' : 'integer')),
      1500,
    );
    expect(folded.blocks.length).toBeLessThanOrEqual(1500);
    expect(folded.blocks.flatMap((b) => b.members).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 5000 }, (_, i) => i),
    );
    expect(layout(folded.blocks.length, folded.edges).edges).toHaveLength(folded.edges.length); // none closes a cycle
  });
  it('keeps the page of a graph of 5,000 nodes small', () => {
    const facts = graph(
      5000,
      chain(5000).concat(Array.from({ length: 2000 }, (_, i): [number, number] => [i * 2, i * 2 + 30])),
    );
    const page = renderHtml(makeRecord(4, '', { graph: facts }));
    expect(page).toContain('drawn as');
    expect(Buffer.byteLength(page)).toBeLessThan(2e6);
  });
});
