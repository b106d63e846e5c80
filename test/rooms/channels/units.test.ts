/** Which channels go together: of heads, gates, groups, parts and tables; and what follows when they go. */
import { describe, expect, it } from 'vitest';
import { familiesOf } from '../../../src/channels/families.js';
import { channelUnits, removeChannels } from '../../../src/channels/removal.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { forgetInferred, inferShapes } from '../../../src/ops/infer.js';
import { removeUnusedInitializers } from '../../../src/rewrite/pass.js';

function net(text: string): Model {
  const m = parseModel(`<ir_version: 10, opset_import: ["" : 18]> g ${text}`, { randomInitializers: 1 });
  inferShapes(m);
  return m;
}
/** Number of units and names of makers of each family. */
const told = (m: Model): string[] =>
  familiesOf(channelUnits(m)).map(
    (f) =>
      `${f.units.length} of ${f.makers
        .map((v) => v.name)
        .sort()
        .join(' ')}`,
  );
/** Takes the first unit of each family out, and gives dims of constants and numbers of integer constants. */
function first(m: Model): Record<string, unknown> {
  removeChannels(
    m,
    familiesOf(channelUnits(m)).map((f) => f.units[0]!),
  );
  removeUnusedInitializers(m.graph);
  forgetInferred(m);
  inferShapes(m);
  return Object.fromEntries(
    [...m.graph.initializers].map((v) => [
      v.name.replace(/_fewer.*/, ''),
      v.data!.dtype === 'int64' ? v.data!.numbersOrUndefined() : v.data!.dims,
    ]),
  );
}

const HEADS = `(float[N,T,8] x) => (y)
  <float[8,12] q, float[12] qb, float[8,12] k, float[8,12] v, float[12,8] o, int64[4] s = {0, 0, 4, 3},
   int64[3] back = {0, 0, 12}>
  { a = MatMul (x, q)  ab = Add (a, qb)  b = MatMul (x, k)  c = MatMul (x, v)
    a4 = Reshape (ab, s)  b4 = Reshape (b, s)  c4 = Reshape (c, s)
    at = Transpose <perm: ints = [0,2,1,3]> (a4)  bt = Transpose <perm: ints = [0,2,3,1]> (b4)
    ct = Transpose <perm: ints = [0,2,1,3]> (c4)
    qk = MatMul (at, bt)  p = Softmax <axis: int = -1> (qk)  m = MatMul (p, ct)
    mt = Transpose <perm: ints = [0,2,1,3]> (m)  f = Reshape (mt, back)  y = MatMul (f, o) }`;

describe('channelUnits()', () => {
  it('finds whole heads, and their numbers follow', () => {
    const m = net(HEADS);
    expect(told(m)).toEqual(['4 of k q v']);
    expect(first(m)).toMatchObject({ ...{ q: [8, 9], k: [8, 9], v: [8, 9], qb: [9], o: [9, 8] }, s: [0, 0, 3, 3] });
    expect(
      [...m.graph.initializers].map((v) => v.data!.dtype === 'int64' && v.data!.numbersOrUndefined()!.join()),
    ).toContain('0,0,9');
  });
  it('finds heads whose number is left to the runtime', () => {
    const m = net(HEADS.replace('{0, 0, 4, 3}', '{0, 0, -1, 3}').replace('{0, 0, 12}', '{0, 0, -1}'));
    expect(told(m)).toEqual(['4 of k q v']);
    expect(first(m)).toMatchObject({ q: [8, 9], s: [0, 0, -1, 3] });
  });
  it('a head of keys goes with all heads of queries that read it', () => {
    const m = net(`(float[N,5,8] x) => (y)
      <float[8,12] q, float[8,6] k, float[12,8] o, int64[4] s = {0, 0, 4, 3}, int64[4] t = {0, 0, 2, 3},
       int64[1] two = {2}, int64[5] wide = {1, 2, 2, 1, 1}, int64[4] four = {0, 4, 5, 3}, int64[3] back = {0, 0, 12}>
      { a = MatMul (x, q)  b = MatMul (x, k)  a4 = Reshape (a, s)  b4 = Reshape (b, t)
        at = Transpose <perm: ints = [0,2,1,3]> (a4)  bt = Transpose <perm: ints = [0,2,1,3]> (b4)
        bu = Unsqueeze (bt, two)  bw = Expand (bu, wide)  br = Reshape (bw, four)
        kt = Transpose <perm: ints = [0,1,3,2]> (br)  qk = MatMul (at, kt)  p = Softmax <axis: int = -1> (qk)
        m = MatMul (p, br)  mt = Transpose <perm: ints = [0,2,1,3]> (m)  f = Reshape (mt, back)  y = MatMul (f, o) }`);
    expect(told(m)).toEqual(['2 of k q']);
    expect(first(m)).toMatchObject({ q: [8, 6], k: [8, 3], o: [6, 8], four: [0, 2, 5, 3], wide: [1, 1, 2, 1, 1] });
  });
  it('a gate and what it lets through go together; the halves of one product too', () => {
    const m = net(`(float[N,8] x) => (y) <float[8,12] w, float[6,8] o, int64[2] s = {6, 6}>
      { h = MatMul (x, w)  a, b = Split <axis: int = 1> (h, s)  t = Sigmoid (a)  g = Mul (t, b)  y = MatMul (g, o) }`);
    expect(told(m)).toEqual(['6 of w']);
    expect(first(m)).toMatchObject({ w: [8, 10], o: [5, 8], s: [5, 5] });
  });
  it('groups of a convolution go as a whole', () => {
    const m = net(`(float[N,3,8,8] x) => (y) <float[12,3,1,1] a, float[8,3,3,3] g, float[8] b, float[5,8,1,1] o>
      { h = Conv (x, a)  c = Conv <group: int = 4> (h, g, b)  y = Conv (c, o) }`);
    expect(told(m)).toEqual(['4 of a g']);
    expect(first(m)).toMatchObject({ a: [9, 3, 1, 1], g: [6, 3, 3, 3], b: [6], o: [5, 6, 1, 1] });
    expect([...m.graph.nodes].map((n) => n.int('group', 1))).toEqual([1, 3, 1]);
  });
  it('a part that is cut off, and one that is picked, follow', () => {
    const m = net(`(float[N,3,8,8] x) => (y)
      <float[6,3,1,1] a, float[4,2,1,1] o, int64[1] i = {2}, int64[1] e = {5}, int64[1] c = {1}, int64[2] p = {2, -3}>
      { h = Conv (x, a)  s = Slice (h, i, e, c)  g = Gather <axis: int = 1> (s, p)  y = Conv (g, o) }`);
    // channels 2 to 4 of h, of which 4 and 2 are read; 0, 1, 3 and 5 are read by none, alone each
    expect(channelUnits(m)).toHaveLength(6);
    const units = channelUnits(m);
    removeChannels(
      m,
      units.filter((u) => u.cuts.some((x) => x.constant.name === 'a' && [0, 3, 4].includes(x.index))),
    );
    const ints = (input: number, op: string): number[] | undefined =>
      [...m.graph.nodes].find((n) => n.op === op)!.inputs[input]!.data!.numbersOrUndefined();
    expect([ints(1, 'Slice'), ints(2, 'Slice'), ints(1, 'Gather')]).toEqual([[1], [2], [0]]);
  });
  it('columns of tables go with what is added to them', () => {
    const m = net(`(int64[N,5] ids) => (y) <float[9,6] table, float[5,6] places, float[6] g, float[6] b, float[6,3] o>
      { e = Gather (table, ids)  s = Add (e, places)  n = LayerNormalization (s, g, b)  y = MatMul (n, o) }`);
    expect(told(m)).toEqual(['6 of table']);
    expect(first(m)).toMatchObject({ table: [9, 5], places: [5, 5], g: [5], b: [5], o: [5, 3] });
  });
  it('holds what a caller sees, what is summed over, and what sizes are told of', () => {
    const seen = net(`(float[N,8] x) => (y, h) <float[8,6] w, float[6,2] o> { h = MatMul (x, w)  y = MatMul (h, o) }`);
    expect(told(seen)).toEqual([]);
    const summed = net(`(float[N,8] x) => (y) <float[8,6] w, int64[1] a = {1}>
      { h = MatMul (x, w)  y = ReduceSum (h, a) }`);
    expect(told(summed)).toEqual([]);
    const sized = net(`(float[N,8] x) => (y) <float[8,6] w, float[6,2] o, int64[1] i = {1}>
      { h = MatMul (x, w)  s = Shape (h)  c = Gather (s, i)  f = Cast <to: int = 1> (c)  k = Div (h, f)
        y = MatMul (k, o) }`);
    expect(told(sized)).toEqual([]);
  });
});
