/** Ties between channels, against what onnxruntime does when one channel is changed, or scaled. */
import { describe, expect, it } from 'vitest';
import type { Feed, FeedTensor, TypedArray } from '../../../src/ir/feed.js';
import type { Value } from '../../../src/ir/graph.js';
import type { Tie } from '../../../src/ops/facets.js';
import { ops, ties } from '../../../src/ops/index.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { randomFeed } from '../../../src/pipeline/feeds.js';
import { openModel } from '../../../src/runtime/open.js';
import { here } from './cases/case.js';
import { modelOf } from './run.js';

const X = '(float[2,3,4,4] x) => (y)';
const EVERY = 'x0-y0 x1-y1 x2-y2 x3-y3';
const IMAGE = 'x0-y0 x1-y1';
const unary = (op: string): [string, string] => [`${X} { y = ${op}(x) }`, EVERY];
const elementwise = (op: string): [string, string] => [`${X} { y = ${op}(x) }`, EVERY.replaceAll('x', '~x')];
const two = (op: string, type: string, given = ''): [string, string] => [
  `(${type}[2,3] x, ${type}[3] z) => (y) { y = ${op}${given}(x, z) }`,
  '~x0-y0 ~x1-y1 ~z0-y1',
];
const N = '(float[2,4,3] x) => (y)';
/**
 * Each graph has one node. Its ties as "operand axis - result axis", then offset and repeat; ~ where factors do not
 * pass.
 */
const CASES: readonly (readonly [graph: string, ties: string])[] = [
  ...['Relu', 'LeakyRelu', 'Identity', 'Dropout', 'Neg', 'Abs'].map(unary),
  [`${X} <float[3,1,1] k> { y = PRelu(x, k) }`, EVERY],
  ['(float[2,3] x, float[3] k) => (y) { y = PRelu(x, k) }', '~x0-y0 ~x1-y1 ~k0-y1'],
  [`${X} { y = MaxPool <kernel_shape = [2,2]> (x) }`, IMAGE],
  [`${X} { y = AveragePool <kernel_shape = [3,3], pads = [1,1,1,1]> (x) }`, IMAGE],
  [`${X} { y = LpPool <kernel_shape = [2,2]> (x) }`, IMAGE],
  [`${X} { y = GlobalAveragePool(x) }`, IMAGE],
  [`${X} { y = GlobalMaxPool(x) }`, IMAGE],
  [`${X} { y = GlobalLpPool(x) }`, ''], // not in the registry: its shape is not known
  [`${X} <float[4] s = {1,1,2,2}> { y = Resize <mode = "linear"> (x, , s) }`, IMAGE],
  ['(float[2,3,4,4] x) => (y) <float[4] s = {1,1,2,2}> { y = Upsample(x, s) }', IMAGE],
  ['(float[2,3,4] x, float[3,1] z) => (y) { y = Add(x, z) }', 'x0-y0 x1-y1 x2-y2 z0-y1'],
  ['(float[3,4] x, float[2,3,4] z) => (y) { y = Sub(x, z) }', 'x0-y1 x1-y2 z0-y0 z1-y1 z2-y2'],
  ['(float[2,3] x, float[2,3] z, float[3] w) => (y) { y = Sum(x, z, w) }', 'x0-y0 x1-y1 z0-y0 z1-y1 w0-y1'],
  ['(float[2,3] x, float[2,3] z) => (y) { y = Mean(x, z) }', 'x0-y0 x1-y1 z0-y0 z1-y1'],
  ['(float[2,3] x) => (y) <float[3] k> { y = Mul(x, k) }', 'x0-y0 x1-y1'],
  ['(float[3,1] x) => (y) <float[2,3,4] k> { y = Mul(k, x) }', 'x0-y1'],
  ['(float[2,3] x) => (y) <float[3] k> { y = Div(x, k) }', 'x0-y0 x1-y1'],
  ['(float[2,3] x) => (y) <float[3] k> { y = Div(k, x) }', '~x0-y0 ~x1-y1'], // the divisor scales the other way
  ['(float[2,3] x, float[2,3] z) => (y) { y = Mul(x, z) }', '~x0-y0 ~x1-y1 ~z0-y0 ~z1-y1'],
  ['(float[2,3,4] x, float[2,5,4] z) => (y) { y = Concat <axis = 1> (x, z) }', 'x0-y0 x2-y2 x1-y1 z0-y0 z2-y2 z1-y1-3'],
  [
    '(float[2,3] x, float[2,2] z) => (y) { y = Concat <axis = -1> (z, x, z) }',
    'z0-y0 z1-y1 x0-y0 x1-y1-2 z0-y0 z1-y1-5',
  ],
  ['(float[2,7] x) => (y, z) <int64[2] s = {3,4}> { y, z = Split <axis = 1> (x, s) }', 'x0-y0 x1-y1 x0-z0 x1-z1+3'],
  ['(float[2,3,4] x) => (y) <int64[6] p = {0,2,0,0,1,0}> { y = Pad(x, p) }', 'x0-y0 x1-y1-2 x2-y2'],
  ['(float[2,3,4] x) => (y) <int64[6] p = {0,1,1,0,0,2}> { y = Pad <mode = "reflect"> (x, p) }', 'x0-y0'],
  ['(float[2,3] x) => (y) <int64[4] p = {0,1,0,0}, float v = {3}> { y = Pad(x, p, v) }', ''],
  [
    '(float[2,8,9] x) => (y) <int64[2] s = {1,-7}, int64[2] e = {7,9}, int64[2] a = {1,-1}, int64[2] t = {2,1}> ' +
      '{ y = Slice(x, s, e, a, t) }',
    'x0-y0 x2-y2+2',
  ],
  ['(float[2,3,4] x) => (y) { y = Transpose <perm = [1,2,0]> (x) }', 'x1-y0 x2-y1 x0-y2'],
  ['(float[2,3,4] x) => (y) { y = Transpose(x) }', 'x2-y0 x1-y1 x0-y2'],
  [`${X} { y = Flatten(x) }`, 'x1-y1/16'],
  [`${X} { y = Flatten <axis = 2> (x) }`, ''],
  [`${X} <int64[2] s = {2,48}> { y = Reshape(x, s) }`, 'x1-y1/16'],
  [`${X} <int64[2] s = {6,16}> { y = Reshape(x, s) }`, ''],
  ['(float[2,1,3,1] x) => (y) <int64[1] a = {1}> { y = Squeeze(x, a) }', 'x0-y0 x2-y1'],
  ['(float[2,3] x) => (y) <int64[2] a = {0,2}> { y = Unsqueeze(x, a) }', 'x0-y1 x1-y3'],
  ...['ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin'].flatMap((op): [string, string][] => [
    [`${X} <int64[2] a = {-1,0}> { y = ${op}(x, a) }`, 'x1-y1 x2-y2'],
    [`${X} <int64[2] a = {0,3}> { y = ${op} <keepdims = 0> (x, a) }`, 'x1-y0 x2-y1'],
  ]),
  ...(
    'Sigmoid Tanh Erf Exp Log Sqrt Reciprocal Ceil Floor Round Sign Elu Selu Celu Softplus Softsign HardSigmoid ' +
    'HardSwish Gelu Mish Swish ThresholdedRelu Shrink Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh IsNaN ' +
    'IsInf Clip'
  )
    .split(' ')
    .map(elementwise),
  ['(bool[2,3] x) => (y) { y = Not(x) }', '~x0-y0 ~x1-y1'],
  ['(int32[2,3] x) => (y) { y = BitwiseNot(x) }', '~x0-y0 ~x1-y1'],
  ['(float[2,3] x) => (y) { y = Cast <to = 6> (x) }', '~x0-y0 ~x1-y1'],
  ...['Pow', 'Max', 'Min', 'Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].map((op) => two(op, 'float')),
  two('Mod', 'float', ' <fmod = 1> '),
  ...['And', 'Or', 'Xor'].map((op) => two(op, 'bool')),
  ...['BitwiseAnd', 'BitwiseOr', 'BitwiseXor'].map((op) => two(op, 'int32')),
  two('BitShift', 'uint32', ' <direction = "LEFT"> '),
  ['(bool[2,1] x, float[2,3] z, float[3] w) => (y) { y = Where(x, z, w) }', '~x0-y0 ~z0-y0 ~z1-y1 ~w0-y1'],
  [
    `${N} <float[4] s, float[4] b, float[4] m, float[4] v> { y = BatchNormalization(x, s, b, m, v) }`,
    '~x0-y0 ~x1-y1 ~x2-y2',
  ],
  [`${N} <float[4] s, float[4] b> { y = InstanceNormalization(x, s, b) }`, '~x0-y0'],
  [`${N} <float[3] s> { y = LayerNormalization(x, s) }`, '~x0-y0 ~x1-y1'],
  [`${N} <float[4,3] s> { y = LayerNormalization <axis = 1> (x, s) }`, '~x0-y0'],
  [`${N} <float[3] s> { y = RMSNormalization(x, s) }`, '~x0-y0 ~x1-y1'],
  [`${N} <float[3] s> { y = SimplifiedLayerNormalization(x, s) }`, '~x0-y0 ~x1-y1'],
  [`${N} <float[2] s, float[2] b> { y = GroupNormalization <num_groups = 2> (x, s, b) }`, '~x0-y0'],
  [`${N} { y = LpNormalization <axis = 1> (x) }`, '~x0-y0 ~x2-y2'],
  [`${X} { y = LRN <size = 3> (x) }`, '~x0-y0'],
  ...['Softmax', 'LogSoftmax', 'Hardmax'].flatMap((op): [string, string][] => [
    [`${N} { y = ${op}(x) }`, '~x0-y0'],
    [`${N} { y = ${op} <axis = -1> (x) }`, '~x0-y0 ~x1-y1'],
    [`${N} { y = ${op} <axis = 1> (x) }`, '~x0-y0'],
  ]),
];
const OPSETS: Readonly<Record<string, number>> = { Upsample: 9, Swish: 24, Gelu: 20, RMSNormalization: 23 };

const text = ({ a, b, offset = 0, repeat = 1, homogeneous }: Tie): string =>
  `${homogeneous ? '' : '~'}${a.value.name}${a.axis}-${b.value.name}${b.axis}` +
  `${offset ? (offset > 0 ? `+${offset}` : offset) : ''}${repeat === 1 ? '' : `/${repeat}`}`;

/** The elements of a tensor whose index along an axis is among `channels`, mapped. */
function mapped(t: FeedTensor, axis: number, channels: ReadonlySet<number>, f: (x: number) => number): TypedArray {
  const inner = t.dims.slice(axis + 1).reduce((n, d) => n * d, 1);
  const data = t.data.slice() as Float32Array; // or another list of numbers
  data.forEach((x, i) => {
    if (channels.has(Math.floor(i / inner) % t.dims[axis]!)) data[i] = f(x);
  });
  return data;
}
const sizeOf = (v: Value, axis: number): number => Number(v.shape![axis]); // inferred
/** Channels of the result that a tie gives to one channel of the operand, by its definition. */
const tiedTo = ({ b, offset = 0, repeat = 1 }: Tie, channel: number): Set<number> =>
  new Set([...Array(sizeOf(b.value, b.axis)).keys()].filter((c) => Math.floor((c + offset) / repeat) === channel));

it('every operator with ties has a case', () => {
  const seen = CASES.map(([graph]) => /= (\w+)[ (]/.exec(graph.slice(graph.lastIndexOf('{ y')))![1]);
  const rule = ({ links }: (typeof ops)[number]) => (typeof links === 'object' ? links.rule : links);
  const tied = ops.filter((o) => rule(o) !== 'opaque' && o.domain === '').map((o) => o.op);
  expect(tied.filter((op) => !seen.includes(op))).toEqual([]);
});

describe.each(CASES)('%s', (graph, expected) => {
  const op = Object.keys(OPSETS).find((o) => graph.includes(o));
  const c = here(graph, { opset: op ? OPSETS[op]! : 18 });
  const model = modelOf(c);
  inferShapes(model);
  const [node] = model.graph.nodes;
  const found = ties(node!); // one node in each graph

  it('has the ties that it should', () => {
    expect(found.map(text).join(' ')).toBe(expected);
  });
  it.runIf(expected)('changes only tied channels, and scales with them', async () => {
    const session = await openModel(modelOf(c), { optimization: 'disabled' });
    const feed = randomFeed(
      model.graph.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
      9,
    );
    const change = (v: Value, axis: number, channels: Set<number>, f: (x: number) => number): Feed => ({
      [v.name]: { ...feed[v.name]!, data: mapped(feed[v.name]!, axis, channels, f) },
    });
    try {
      const before = await session.run(feed);
      for (const tie of found) {
        const { a, b } = tie;
        const result = before[b.value.name]!;
        // An operand may stand in several places of one result.
        const alike = found.filter((t) => t.a.value === a.value && t.a.axis === a.axis && t.b.value === b.value);
        for (const channel of new Set([0, sizeOf(a.value, a.axis) - 1])) {
          const tied = new Set(alike.filter((t) => t.b.axis === b.axis).flatMap((t) => [...tiedTo(t, channel)]));
          const changed = await session.run({
            ...feed,
            ...change(a.value, a.axis, new Set([channel]), (x) => (a.value.dtype === 'bool' ? 1 - x : 9 - x)),
          });
          const [was, is] = [result, changed[b.value.name]!].map((t) => mapped(t, b.axis, tied, () => 0));
          expect(is, `${text(tie)} at ${channel} changes others`).toEqual(was);
          if (tied.size && tie.homogeneous) expect(changed[b.value.name]!.data).not.toEqual(result.data);
        }
      }
      // Scaled are a channel of the result and all of the operands that it is made of, unless one has no tie there.
      const operands = node!.inputs.filter((v) => v && model.graph.inputs.includes(v));
      for (const { b } of found) {
        const same = found.filter((t) => t.b.value === b.value && t.b.axis === b.axis);
        if (!same.every((t) => t.homogeneous)) continue;
        if (!operands.every((v) => same.some((t) => t.a.value === v))) continue;
        const size = sizeOf(b.value, b.axis);
        for (const channel of new Set([0, size >> 1, size - 1])) {
          const sources = new Map<Value, Set<number>>();
          for (const t of same) {
            const at = Math.floor((channel + (t.offset ?? 0)) / (t.repeat ?? 1));
            if (at >= 0 && at < sizeOf(t.a.value, t.a.axis))
              sources.set(t.a.value, (sources.get(t.a.value) ?? new Set()).add(at));
          }
          const reached = same.flatMap((t) => [...(sources.get(t.a.value) ?? [])].flatMap((k) => [...tiedTo(t, k)]));
          const scaled = await session.run({
            ...feed,
            ...Object.assign(
              {},
              ...same
                .filter((t) => sources.has(t.a.value))
                .map((t) => change(t.a.value, t.a.axis, sources.get(t.a.value)!, (x) => 2 * x)),
            ),
          });
          expect(scaled[b.value.name]!.data, `${b.value.name}${b.axis} at ${channel}`).toEqual(
            mapped(before[b.value.name]!, b.axis, new Set(reached), (x) => 2 * x),
          );
        }
      }
    } finally {
      await session.close();
    }
  });
});
