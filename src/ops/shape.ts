/** Ops that move elements or compute shapes. https://onnx.ai/onnx/operators/ */
import { item } from '../base/lists.js';
import { fail } from '../base/errors.js';
import { label, MAX_RANK, type Dim, type Shape } from '../ir/graph.js';
import { expanded } from './gradients/arithmetic.js';
import * as move from './gradients/move.js';
import { padded as padGradient } from './gradients/pad.js';
import * as pick from './gradients/pick.js';
import { cumSum } from './gradients/reduce.js';
import { sliced as sliceGradient } from './gradients/slice.js';
import { lookup } from './linear.js';
import { blocks, gathered, widened } from './removal-links.js';
import * as refits from './refits.js';
import { cut, flattened, joined, kept, padded, permuted, sliced } from './links.js';
import {
  inferReshape,
  inferSlice,
  inferGather,
  inferUnsqueeze,
  inferSqueeze,
  inferConcat,
  inferSplit,
  inferPad,
  inferExpand,
  of,
  picked,
} from './shape-rules.js';
import { axisOf, checkLength, intsOf, numbersOf, ofRank, sizeOf, STEPS, type OpSpec, type QuantRole } from './spec.js';

const passthrough: QuantRole = { role: 'passthrough', data: [0] };
const float = (because: string): QuantRole => ({ role: 'float', because });
type Facets = Pick<OpSpec, 'linear' | 'links' | 'gradient'>;
const spec = (
  op: string,
  since: number,
  doc: string,
  quant: QuantRole,
  facets: Facets,
  infer: OpSpec['infer'],
): OpSpec => ({
  op,
  domain: '',
  since,
  doc,
  quant,
  infer,
  cost: 'free',
  foldable: true,
  ...facets,
});
/** Of an op that moves elements. */
const moves = (gradient: OpSpec['gradient'], links: OpSpec['links'], linear: OpSpec['linear'] = 'no'): Facets => ({
  linear,
  links,
  gradient,
});

const scattering: readonly (readonly [op: string, gradient: OpSpec['gradient']])[] = [
  ['ScatterElements', pick.scatterAlong],
  ['ScatterND', pick.scatterND],
  ['Scatter', pick.scatterAlong],
  ['CumSum', cumSum],
  ['Trilu', move.triangle],
  ['ReverseSequence', move.reversed],
];

export const shapeOps: readonly OpSpec[] = [
  spec(
    'Reshape',
    1,
    'New dims, same elements.',
    passthrough,
    moves(move.reshaped, { rule: flattened, removal: blocks, refit: refits.reshape }),
    inferReshape,
  ),
  spec(
    'Flatten',
    1,
    'Two axes: before and after `axis`.',
    passthrough,
    moves(move.reshaped, { rule: flattened, removal: blocks }),
    (ctx) => {
      const x = ctx.input(0);
      const shape = x?.shape;
      if (!shape) return of(x, undefined);
      const axis =
        ctx.node.int('axis', 1) === shape.length ? shape.length : axisOf(ctx, ctx.node.int('axis', 1), shape.length);
      const product = (part: Shape): Dim => {
        const rest = part.filter((d) => d !== 1);
        if (rest.every((d) => typeof d === 'number')) return sizeOf(part);
        return rest.length === 1 ? item(rest, 0) : null;
      };
      return of(x, [product(shape.slice(0, axis)), product(shape.slice(axis))]);
    },
  ),
  spec('Transpose', 1, 'Permutes axes.', passthrough, moves(move.transposed, permuted), (ctx) => {
    const x = ctx.input(0);
    const rank = x?.shape?.length;
    const perm = ctx.node.attrs.has('perm')
      ? ctx.node.ints('perm')
      : Array.from({ length: rank ?? 0 }, (_, i) => rank! - 1 - i); // no entries without a rank
    if (
      perm.length > MAX_RANK ||
      !perm.every((p, i) => p >= 0 && p < perm.length && perm.indexOf(p) === i) ||
      (x?.shape && perm.length !== rank)
    ) {
      fail(
        'GRAPH_INVALID',
        `'${label(ctx.node)}' (Transpose) has perm [${perm.join(', ')}] for ` +
          `${rank === undefined ? 'its axes' : `${rank} axes`}`,
        { node: label(ctx.node) },
        'each axis once, from 0',
      );
    }
    const shape = x?.shape && perm.map((p) => x.shape?.[p] ?? null);
    const ints = intsOf(ctx, 0);
    if (!ints || !x?.shape || !shape) return of(x, shape);
    return of(
      x,
      shape,
      picked(ints, x.shape, shape, (at) => perm.map((_, a) => item(at, perm.indexOf(a)))),
    );
  }),
  spec('Squeeze', 1, 'Drops axes of size 1.', passthrough, moves(move.reshaped, kept), inferSqueeze),
  spec('Unsqueeze', 1, 'Inserts axes of size 1.', passthrough, moves(move.reshaped, kept), inferUnsqueeze),
  spec(
    'Slice',
    1,
    'A range of each axis.',
    passthrough,
    moves(sliceGradient, { rule: sliced, refit: refits.slice }),
    inferSlice,
  ),
  spec(
    'Gather',
    1,
    'Picks along one axis.',
    passthrough,
    moves(pick.gather, { rule: 'opaque', removal: gathered, refit: refits.gather }, lookup),
    inferGather,
  ),
  spec('GatherElements', 11, 'Picks element by element.', passthrough, moves(pick.gatherElements, 'opaque'), (ctx) =>
    of(ctx.input(0), ctx.input(1)?.shape),
  ),
  spec('GatherND', 11, 'Picks by index tuples.', passthrough, moves(pick.gatherND, 'opaque'), (ctx) => {
    const [x, indices] = [ctx.input(0), ctx.input(1)?.shape];
    const tuple = indices?.at(-1); // so many axes, beside those of the batch, are picked from
    if (!x?.shape || !indices || typeof tuple !== 'number') return of(x, undefined);
    return of(x, [...indices.slice(0, -1), ...x.shape.slice(ctx.node.int('batch_dims', 0) + tuple)]);
  }),
  spec(
    'Concat',
    1,
    'Joins along one axis.',
    { role: 'arithmetic', inputs: 'all', qlinear: { op: 'QLinearConcat', domain: 'com.microsoft', form: 'concat' } },
    moves(move.concatenated, joined),
    inferConcat,
  ),
  spec(
    'Split',
    1,
    'Cuts along one axis.',
    passthrough,
    moves(move.split, { rule: cut, refit: refits.split }),
    inferSplit,
  ),
  spec(
    'Pad',
    1,
    'Adds elements at the borders.',
    {
      role: 'passthrough',
      data: [0],
      when: (n) =>
        n.string('mode', 'constant') === 'constant' && n.inputs[2] && !n.inputs[2].isInitializer
          ? 'the pad value is not a constant'
          : true,
    },
    moves(padGradient, { rule: padded, refit: refits.pad }),
    inferPad,
  ),
  spec(
    'Expand',
    8,
    'Broadcasts to a shape.',
    passthrough,
    moves(expanded, { rule: 'opaque', removal: widened, refit: refits.expand }),
    inferExpand,
  ),
  spec(
    'Tile',
    1,
    'Repeats along axes.',
    passthrough,
    moves(move.tiled, { rule: 'opaque', removal: widened }),
    (ctx) => {
      const x = ctx.input(0);
      const repeats = numbersOf(ctx, 1);
      if (repeats && x?.shape) checkLength(ctx, 'repeats', repeats.length, x.shape.length);
      return of(
        x,
        x?.shape?.map((d, i) => (typeof d === 'number' && repeats ? d * item(repeats, i) : null)),
      ); // as above
    },
  ),
  spec('Shape', 1, 'The dims as a tensor.', float('shape arithmetic'), STEPS, (ctx) => {
    const shape = ctx.input(0)?.shape;
    if (!shape) return [{ dtype: 'int64', shape: [null] }];
    const part = shape.slice(ctx.node.int('start', 0), ctx.node.attrs.has('end') ? ctx.node.int('end') : undefined);
    return [{ dtype: 'int64', shape: [part.length], ints: part }];
  }),
  spec('Size', 1, 'Number of elements.', float('shape arithmetic'), STEPS, (ctx) => {
    const shape = ctx.input(0)?.shape;
    return [
      { dtype: 'int64', shape: [], ints: shape?.every((d) => typeof d === 'number') ? [sizeOf(shape)] : undefined },
    ];
  }),
  spec('ConstantOfShape', 9, 'A shape filled with one value.', float('a constant'), STEPS, (ctx) => {
    const value = ctx.node.attrs.get('value');
    const shape = intsOf(ctx, 0);
    const rank = ctx.input(0)?.shape?.[0];
    const fill =
      value?.type === 'tensor' && value.value.dtype === 'int64' ? Number(value.value.ints()[0] ?? 0) : undefined;
    const n = shape?.every((d): d is number => typeof d === 'number') && shape.length === 1 ? shape[0] : undefined;
    return [
      {
        dtype: value?.type === 'tensor' ? value.value.dtype : 'float32',
        shape: shape ?? ofRank(ctx, rank),
        ints: fill !== undefined && typeof n === 'number' && n <= 64 ? Array<number>(n).fill(fill) : undefined,
      },
    ];
  }),
  spec('Range', 11, 'An arithmetic sequence.', float('shape arithmetic'), STEPS, (ctx) => {
    const [start, limit, delta] = [numbersOf(ctx, 0)?.[0], intsOf(ctx, 1)?.[0], numbersOf(ctx, 2)?.[0]];
    const dtype = ctx.input(0)?.dtype;
    if (start === undefined || limit === undefined || delta === undefined) return [{ dtype, shape: [null] }];
    if (typeof limit === 'number') return [{ dtype, shape: [Math.max(0, Math.ceil((limit - start) / delta))] }];
    return [{ dtype, shape: [start === 0 && delta === 1 ? limit : null] }];
  }),
  spec('OneHot', 9, 'One-hot rows.', float('logical'), STEPS, (ctx) => {
    const shape = ctx.input(0)?.shape;
    const depth = numbersOf(ctx, 1)?.[0] ?? null;
    if (!shape) return [{ dtype: ctx.input(2)?.dtype, shape: undefined }];
    const axis = axisOf(ctx, ctx.node.int('axis', -1), shape.length + 1);
    return [{ dtype: ctx.input(2)?.dtype, shape: [...shape.slice(0, axis), depth, ...shape.slice(axis)] }];
  }),
  spec('NonZero', 9, 'Indices of non-zero elements.', float('logical'), STEPS, (ctx) => [
    { dtype: 'int64', shape: [ctx.input(0)?.shape?.length ?? null, null] },
  ]),
  spec('TopK', 1, 'Largest k and their indices.', float('no integer kernel'), moves(pick.topK, 'opaque'), (ctx) => {
    const x = ctx.input(0);
    const axis = x?.shape ? axisOf(ctx, ctx.node.int('axis', -1), x.shape.length) : 0;
    const k = ctx.node.attrs.has('k') ? ctx.node.int('k') : (numbersOf(ctx, 1)?.[0] ?? null);
    const shape = x?.shape?.map((d, i) => (i === axis ? k : d));
    return [
      { dtype: x?.dtype, shape },
      { dtype: 'int64', shape },
    ];
  }),
  ...scattering.map(([op, gradient]) =>
    spec(op, 9, 'The shape of the first input.', float('no integer kernel'), moves(gradient, 'opaque'), (ctx) =>
      of(ctx.input(0), ctx.input(0)?.shape),
    ),
  ),
];
