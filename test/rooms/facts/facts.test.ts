import { describe, expect, it } from 'vitest';
import { graphFacts, macsByNode, nodeFacts, pointFacts } from '../../../src/facts/model.js';
import { reasonOf } from '../../../src/facts/reasons.js';
import { f32, header, prepareText } from '../analyse/helpers.js';

const minmax = 'activations: { observer: minmax }\nweights: { observer: minmax }';
const feeds = [{ x: f32([0, 1]) }, { x: f32([1, 0]) }];
const scheme = { dtype: 'uint8', symmetric: false, granularity: { kind: 'tensor' } } as const;

describe('pointFacts', () => {
  it("gives weights a histogram over all channels, and the share outside of each channel's range", async () => {
    const c = await prepareText(
      `${header}\ng (float[N,2] x) => (float[N,2] y) <float[2,2] w = {-1, 0.5, 3, 0.25}> { [p] y = MatMul(x, w) }`,
      'qdq',
      { settings: minmax, feeds },
    );
    const weight = pointFacts(c.planned, c.stats, c.assigned).find((p) => p.name === 'w')!;
    expect(weight).toMatchObject({ role: 'weight', clipped: 0, histogram: { low: -1, high: 3 } });
    const { counts } = weight.histogram!;
    expect(counts).toHaveLength(96);
    // 24 bins for each 1: (0.25 + 1) · 24 = 30
    expect([counts[0], counts[30], counts[36], counts[95]]).toEqual([1, 1, 1, 1]);
    expect(counts.reduce((a, b) => a + b)).toBe(4);
    expect(weight.because).toBe('minmax kept all values, with 2 ranges');
    // A tenth of the first channel's range cuts −1 and 3.
    const narrow = new Map(c.params);
    const [point, params] = [...narrow].find(([p]) => 'uses' in p && p.name === 'w')!;
    narrow.set(point, { ...params, scale: params.scale.map((s, i) => (i === 0 ? s / 10 : s)) });
    const cut = pointFacts(c.planned, c.stats, { ...c.assigned, params: narrow }).find((p) => p.name === 'w')!;
    expect(cut.clipped).toBe(0.5);
    expect(cut.because).toBe('minmax cut 50 % of the values, range by range in 2 of them');
  });

  it('adds up the channels of per-channel activations', async () => {
    const c = await prepareText(
      `${header}\ng (float[N,2] x) => (float[N,2] y) <float[2,2] w = {1, 0, 0, 1}> { [p] y = MatMul(x, w) }`,
      'qdq',
      {
        settings: 'activations: { observer: percentile, granularity: channel }',
        feeds: [{ x: f32([4, -0.5]) }, { x: f32([2, 0]) }],
      },
    );
    const x = pointFacts(c.planned, c.stats, c.assigned).find((p) => p.name === 'x')!;
    expect(x.histogram).toMatchObject({ low: -0.5, high: 4 });
    expect(x.histogram!.counts.reduce((a, b) => a + b)).toBe(3); // three values are not zero
  });

  it('says what the observer saw and chose', async () => {
    const c = await prepareText(
      `${header}\ng (float[N,2] x) => (float[N,2] y) <float[2,2] w = {1, 0, 0, 1}> { [p] y = MatMul(x, w) }`,
      'qdq',
      { settings: minmax, feeds },
    );
    expect(pointFacts(c.planned, c.stats, c.assigned).find((p) => p.name === 'x')!.because).toBe(
      'minmax kept all that it saw, 0 to 1',
    );
    expect(pointFacts(c.planned, new Map(), undefined).find((p) => p.name === 'x')!.because).toBe(
      'minmax measures its range',
    ); // a dry run
    const observed = { kind: 'observed', scheme, observer: 'kl' } as const;
    const chosen = { min: [0], max: [5.1], scale: [0.02], observedMin: [0], observedMax: [31.25], count: 100 };
    expect(reasonOf(observed, 'activation', { ...chosen, clipped: 0.003 })).toBe(
      'kl cut 0.3 % of the values, those above 5.1 (it saw 0 to 31.3)',
    );
    expect(reasonOf(observed, 'activation', { ...chosen, clipped: 2e-6, observedMin: [-2] })).toBe(
      'kl cut less than 0.001 % of the values, those below 0 and above 5.1 (it saw -2 to 31.3)',
    );
    expect(reasonOf(observed, 'activation', { ...chosen, count: 0 })).toBe('it was never computed during calibration');
    // no output channel
    expect(reasonOf(observed, 'weight', { min: [], max: [], scale: [] })).toBe('it has no elements');
    expect(reasonOf({ kind: 'fixed', scheme, scale: 1, zeroPoint: 0 }, 'activation', {})).toBe(
      'its range is known beforehand',
    );
  });
});

describe('node names', () => {
  it("are unique: an unnamed node is called by its output, or by its output's name where another node has that", async () => {
    const c = await prepareText(
      `${header}\ng (float[N,2] x) => (float[N,2] y) <float[2,2] w = {1, 0, 0, 1}> { [y] a = MatMul(x, w)  y = ` +
        'MatMul(a, w) }',
      'qdq',
      { settings: minmax, feeds },
    );
    const macs = macsByNode(c.model, feeds[0]);
    expect([...macs]).toEqual([
      ['y', 4],
      ['y (2)', 4],
    ]);
    expect(nodeFacts(c.model, c.planned, macs).map((n) => [n.name, n.macs])).toEqual([
      ['y', 4],
      ['y (2)', 4],
    ]);
  });
});

describe('graphFacts', () => {
  it('gives every node of the main graph its region, and every edge once', async () => {
    const c = await prepareText(
      `${header}\ng (float[N,2] x, float[N,2] z) => (float[N,4] y) <float[2,2] w = {1, 0, 0, 1}, int64[2] to = ` +
        '{-1, 4}> { [p] a = MatMul(x, w)  [f] b = Erf(a)  [m] d = Mul(b, b)  [j] e = Concat<axis=1>(d, z)  [r] y ' +
        '= Reshape(e, to) }',
      'qdq',
      { settings: minmax, feeds: feeds.map(({ x }) => ({ x, z: x })) },
    );
    expect(graphFacts(c.model, c.planned)).toEqual({
      nodes: [
        { name: 'p', op: 'MatMul', region: 'integer' },
        { name: 'f', op: 'Erf', region: 'float' },
        { name: 'm', op: 'Mul', region: 'float' },
        { name: 'j', op: 'Concat', region: 'moves' },
        { name: 'r', op: 'Reshape', region: 'moves' },
      ],
      edges: [
        [0, 1],
        [1, 2],
        [2, 3],
        [3, 4],
      ],
      shapes: ['N×2', 'N×2', 'N×2', 'N×4'],
    });
  });

  it('joins what a subgraph captures to its node', async () => {
    const c = await prepareText(
      `${header}\ng (float[N,2] x, bool c) => (float[N,2] y) <float[2,2] w = {1, 0, 0, 1}> { [p] a = MatMul(x, ` +
        'w)  [if] y = If(c) <then_branch = t () => (float[N,2] u) { u = Neg(a) }, else_branch = s () => ' +
        '(float[N,2] v) { v = Identity(a) }> }',
      'qdq',
      {
        settings: minmax,
        feeds: feeds.map(({ x }) => ({ x, c: { dtype: 'bool', dims: [], data: Uint8Array.of(1) } })),
      },
    );
    expect(graphFacts(c.model, c.planned)).toEqual({
      nodes: [
        { name: 'p', op: 'MatMul', region: 'integer' },
        { name: 'if', op: 'If', region: 'float' },
      ],
      edges: [[0, 1]],
      shapes: ['N×2'],
    });
  });

  it('is left out for very large graphs', async () => {
    const chain = Array.from({ length: 5001 }, (_, i) => `v${i + 1} = Neg(v${i})`).join('\n');
    const c = await prepareText(
      `${header}\ng (float[N,2] x) => (float[N,2] v5001) <float[2,2] w = {1, 0, 0, 1}> { v0 = MatMul(x, w)\n${chain} }`,
      'qdq',
      { settings: minmax, feeds },
    );
    expect(graphFacts(c.model, c.planned)).toBeUndefined();
  });
});
