/**
 * Nodes that give their input back: found by type, shape and constant limits. One pass per family, so that each can be
 * skipped.
 */
import { dtypeFromCode } from '../ir/dtype.js';
import type { Node, Shape, Value } from '../ir/graph.js';
import { bypassPass } from '../rewrite/bypass.js';
import { constantInts, fromStart, isStatic, listOf, permutationOf, sameDim, sameShape } from '../rewrite/facts.js';

const first = (n: Node): Value | undefined => n.inputs[0] ?? undefined;

/** Cast to the type that the input has. */
export const eliminateCast = bypassPass({
  name: 'eliminate-cast',
  doc: 'Removes a Cast to the type that its input has.',
  numerics: 'exact',
  ops: ['Cast', 'CastLike'],
  same(n) {
    const x = first(n);
    const to = n.op === 'Cast' ? dtypeFromCode(n.int('to')) : n.inputs[1]?.dtype;
    if (!x?.dtype) return 'the type of its input is not known';
    return to === x.dtype ? x : undefined;
  },
});

/** Slice of everything: from the first element to the last, in order, on each axis. Refuses computed limits. */
export const eliminateSlice = bypassPass({
  name: 'eliminate-slice',
  doc: 'Removes a Slice that keeps every element.',
  numerics: 'exact',
  ops: ['Slice'],
  same(n) {
    const x = first(n);
    const [starts, ends, axes, steps] = [
      listOf(n, 'starts', 1),
      listOf(n, 'ends', 2),
      listOf(n, 'axes', 3),
      listOf(n, 'steps', 4),
    ];
    if (!x || !starts || !ends || axes === undefined || steps === undefined) return 'its limits are computed';
    for (let i = 0; i < starts.length; i++) {
      const axis = axes?.[i] ?? i;
      const d = axis >= 0 ? x.shape?.[axis] : x.shape?.[x.shape.length + axis];
      const size = typeof d === 'number' ? d : Number.MAX_SAFE_INTEGER;
      if (
        (steps?.[i] ?? 1) !== 1 ||
        !(starts[i] === 0 || (typeof d === 'number' && starts[i]! <= -d)) ||
        ends[i]! < size
      )
        return undefined;
    }
    return x;
  },
});

/** Expand to a shape that the input has already, or to sizes of 1 only. */
export const eliminateExpand = bypassPass({
  name: 'eliminate-expand',
  doc: 'Removes an Expand to the shape that its input has.',
  numerics: 'exact',
  ops: ['Expand'],
  same(n) {
    const x = first(n);
    const target = constantInts(n.inputs[1]);
    if (!x?.shape) return 'the rank of its input is not known';
    const shape: Shape = x.shape;
    if (
      target &&
      target.length <= shape.length &&
      target.every((d, i) => d === 1 || d === shape[shape.length - target.length + i])
    )
      return x;
    return sameShape(shape, n.outputs[0]?.shape) ? x : undefined;
  },
});

/** Tile that repeats every axis once. */
export const eliminateTile = bypassPass({
  name: 'eliminate-tile',
  doc: 'Removes a Tile that repeats each axis once.',
  numerics: 'exact',
  ops: ['Tile'],
  same: (n, { opset }) => (opset >= 6 && constantInts(n.inputs[1])?.every((r) => r === 1) ? first(n) : undefined),
});

/** Pad by nothing, in any mode. */
export const eliminatePad = bypassPass({
  name: 'eliminate-pad',
  doc: 'Removes a Pad that adds nothing.',
  numerics: 'exact',
  ops: ['Pad'],
  same(n) {
    const pads = listOf(n, n.attrs.has('paddings') ? 'paddings' : 'pads', 1);
    if (!pads) return 'its pads are computed';
    return pads.every((p) => p === 0) ? first(n) : undefined;
  },
});

/**
 * Reshape or Flatten to the shape that the input has. One size may stay unknown: where all others agree and are not 0,
 * it agrees too, since the element count does.
 */
export const eliminateReshape = bypassPass({
  name: 'eliminate-reshape',
  doc: 'Removes a Reshape or Flatten to the shape that its input has.',
  numerics: 'exact',
  ops: ['Reshape', 'Flatten'],
  same(n) {
    const x = first(n);
    const [from, to] = [x?.shape, n.outputs[0]?.shape];
    if (!x || !from || !to) return 'a rank is not known';
    if (from.length !== to.length) return undefined;
    const target = n.op === 'Reshape' && n.int('allowzero', 0) === 0 ? constantInts(n.inputs[1]) : undefined;
    const same = from.map((d, i) => sameDim(d, to[i]) || target?.[i] === 0);
    const open = same.filter((s) => !s).length;
    if (open === 0) return x;
    const at = same.indexOf(false);
    if (open > 1 || (typeof from[at] === 'number' && typeof to[at] === 'number')) return undefined;
    return from.every((d, i) => i === at || (typeof d === 'number' && d > 0) || target?.[i] === 0) ? x : undefined;
  },
});

/** Transpose that keeps the order of all axes longer than 1, and with it the shape. */
export const eliminateTranspose = bypassPass({
  name: 'eliminate-transpose',
  doc: 'Removes a Transpose that moves nothing.',
  numerics: 'exact',
  ops: ['Transpose'],
  same(n) {
    const x = first(n);
    const perm = permutationOf(n);
    if (!x || !perm) return 'the rank of its input is not known';
    if (perm.every((p, i) => p === i)) return x;
    const { shape } = x;
    if (!shape) return undefined;
    const long = perm.filter((p) => shape[p] !== 1);
    return long.every((p, i) => i === 0 || p > long[i - 1]!) && perm.every((p, i) => sameDim(shape[p], shape[i]))
      ? x
      : undefined;
  },
});

/** Resize or Upsample by 1 on every axis, or to the sizes that are there. A crop (tf_crop_and_resize) stays. */
export const eliminateResize = bypassPass({
  name: 'eliminate-resize',
  doc: 'Removes a Resize to the size that its input has.',
  numerics: 'exact',
  ops: ['Resize', 'Upsample'],
  same(n, { opset }) {
    const x = first(n);
    if (!x || n.string('coordinate_transformation_mode', 'half_pixel') === 'tf_crop_and_resize') return undefined;
    const at = n.op === 'Resize' && opset >= 11 ? 2 : 1;
    const attr = n.attrs.get('scales');
    const v = n.inputs[at];
    const constant = v?.isInitializer && v.data?.dtype === 'float32' ? v.data.f32() : undefined;
    const scales = attr?.type === 'floats' ? attr.value : constant;
    if (scales?.length) return Array.from(scales).every((s) => s === 1) ? x : undefined;
    if (n.op !== 'Resize' || !n.inputs[3]) return 'its scales are computed';
    const sizes = constantInts(n.inputs[3]);
    if (!sizes) return 'its sizes are computed';
    const axes = n.ints(
      'axes',
      sizes.map((_, i) => i),
    );
    return sizes.every((s, i) => s === x.shape?.[fromStart(axes[i]!, x.shape.length)]) ? x : undefined;
  },
});

/** Concat, Max, Min, Sum or Mean of one input. */
export const eliminateConcat = bypassPass({
  name: 'eliminate-concat',
  doc: 'Removes Concat, Max, Min, Sum and Mean of one input.',
  numerics: 'exact',
  ops: ['Concat', 'Max', 'Min', 'Sum', 'Mean'],
  same: (n) => (n.inputs.length === 1 ? first(n) : undefined),
});

/** Split into one part. */
export const eliminateSplit = bypassPass({
  name: 'eliminate-split',
  doc: 'Removes a Split into one part.',
  numerics: 'exact',
  ops: ['Split'],
  same: (n) => (n.outputs.length === 1 ? first(n) : undefined),
});

/** MaxPool or AveragePool over windows of one element, at every position, without borders. */
export const eliminatePool = bypassPass({
  name: 'eliminate-pool',
  doc: 'Removes pooling over windows of one element.',
  numerics: 'exact',
  ops: ['MaxPool', 'AveragePool'],
  same: (n) =>
    n.ints('kernel_shape').every((k) => k === 1) &&
    n.ints('strides', []).every((s) => s === 1) &&
    n.ints('pads', []).every((p) => p === 0)
      ? first(n)
      : undefined,
});

/** Squeeze or Unsqueeze of no axis. */
export const eliminateSqueeze = bypassPass({
  name: 'eliminate-squeeze',
  doc: 'Removes a Squeeze or Unsqueeze of no axis.',
  numerics: 'exact',
  ops: ['Squeeze', 'Unsqueeze'],
  same(n) {
    const x = first(n);
    const axes = listOf(n, 'axes', 1);
    if (axes === undefined) return 'its axes are computed';
    if (axes?.length) return undefined;
    // Without axes, or with an empty list, Squeeze drops every axis of size 1: none is certain only where all sizes are
    // known.
    return n.op === 'Unsqueeze' ? x : isStatic(x?.shape) && x.shape.every((d) => d !== 1) ? x : undefined;
  },
});

/** Max, min, sum, mean or product over axes of size 1 that stay. */
export const eliminateReduce = bypassPass({
  name: 'eliminate-reduce',
  doc: 'Removes a reduction over axes of size 1 that it keeps.',
  numerics: 'exact',
  ops: ['ReduceMax', 'ReduceMin', 'ReduceSum', 'ReduceMean', 'ReduceProd'],
  same(n) {
    const x = first(n);
    const axes = listOf(n, 'axes', 1);
    if (!x?.shape || n.int('keepdims', 1) !== 1 || axes === undefined) return undefined;
    const { shape } = x;
    if (!axes?.length) return n.int('noop_with_empty_axes', 0) === 1 || shape.every((d) => d === 1) ? x : undefined;
    return axes.every((a) => shape[fromStart(a, shape.length)] === 1) ? x : undefined;
  },
});
