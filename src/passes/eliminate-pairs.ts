/** Pairs of nodes of which the second undoes the first. The first stays where others use it. */
import type { DType } from '../ir/dtype.js';
import { dtypeFromCode } from '../ir/dtype.js';
import type { Node, Value } from '../ir/graph.js';
import { bypassPass, producerOf } from '../rewrite/bypass.js';
import { axesFrom, fromStart, listOf, permutationOf, sameDim, sameShape } from '../rewrite/facts.js';
import { isLossless } from './lossless.js';

const first = (n: Node | undefined): Value | undefined => n?.inputs[0] ?? undefined;

/** Transpose by p, then by the inverse of p. */
export const eliminateTransposePair = bypassPass({
  name: 'eliminate-transpose-pair',
  doc: 'Removes a Transpose that undoes the one before it.',
  numerics: 'exact',
  ops: ['Transpose'],
  same(n) {
    const before = producerOf(first(n), 'Transpose');
    const [p, q] = [before && permutationOf(before), permutationOf(n)];
    return p && q && p.length === q.length && q.every((a, i) => p[a] === i) ? first(before) : undefined;
  },
});

/** Squeeze and Unsqueeze of the same axes, in either order. */
export const eliminateSqueezePair = bypassPass({
  name: 'eliminate-squeeze-pair',
  doc: 'Removes a Squeeze or Unsqueeze that undoes the other before it.',
  numerics: 'exact',
  ops: ['Squeeze', 'Unsqueeze'],
  same(n) {
    const before = producerOf(first(n), n.op === 'Squeeze' ? 'Unsqueeze' : 'Squeeze');
    if (!before) return undefined;
    const inner = axesFrom(before, (before.op === 'Squeeze' ? first(before) : before.outputs[0])?.shape?.length);
    const outer = axesFrom(n, (n.op === 'Squeeze' ? first(n) : n.outputs[0])?.shape?.length);
    if (!inner || !outer) return 'its axes, or those before it, are not known';
    return inner.length === outer.length && inner.every((a, i) => a === outer[i]) ? first(before) : undefined;
  },
});

const VIEWS = ['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'];

/**
 * Reshapes of any spelling, back to the shape that went into the first. Refuses unless every size is known or the same
 * symbol.
 */
export const eliminateReshapePair = bypassPass({
  name: 'eliminate-reshape-pair',
  doc: 'Removes a reshape back to the shape before the previous reshape.',
  numerics: 'exact',
  ops: VIEWS,
  same(n) {
    const before = producerOf(first(n), ...VIEWS);
    const x = first(before);
    if (!before || !x) return undefined;
    const [from, to] = [x.shape, n.outputs[0]?.shape];
    if (sameShape(from, to)) return x;
    return from?.length === to?.length && from?.every((d, i) => sameDim(d, to?.[i]) || typeof d !== typeof to?.[i])
      ? 'sizes are not known well enough to see that the shape is that of before'
      : undefined;
  },
});

/** Cast to a type that holds every value of the first, and back. */
export const eliminateCastPair = bypassPass({
  name: 'eliminate-cast-pair',
  doc: 'Removes a Cast to a wider type and back.',
  numerics: 'exact',
  ops: ['Cast'],
  same(n) {
    const before = producerOf(first(n), 'Cast');
    const x = first(before);
    const wide: DType | undefined = before && dtypeFromCode(before.int('to'));
    if (!x?.dtype || !wide || dtypeFromCode(n.int('to')) !== x.dtype) return undefined;
    return isLossless(x.dtype, wide) ? x : `${wide} does not hold every ${x.dtype}`;
  },
});

/** DequantizeLinear, then QuantizeLinear by the same scale and zero point: the codes come back. */
export const eliminateQuantizePair = bypassPass({
  name: 'eliminate-quantize-pair',
  doc: 'Removes QuantizeLinear of what was dequantized by the same scale and zero point.',
  numerics: 'exact',
  ops: ['QuantizeLinear'],
  same(n) {
    const before = producerOf(first(n), 'DequantizeLinear');
    const codes = first(before);
    if (!before || !codes) return undefined;
    const equal =
      [1, 2].every((i) => sameConstant(before.inputs[i], n.inputs[i])) &&
      before.int('axis', 1) === n.int('axis', 1) &&
      before.int('block_size', 0) === n.int('block_size', 0);
    if (!equal) return 'scale or zero point differ';
    const type =
      n.attrs.has('output_dtype') && n.int('output_dtype') !== 0
        ? dtypeFromCode(n.int('output_dtype'))
        : (n.inputs[2]?.dtype ?? 'uint8');
    const scale = n.inputs[1]?.data;
    if (!type || type !== codes.dtype || !/^u?int(2|4|8|16)$/.test(type))
      return `codes are ${codes.dtype ?? 'of unknown type'}, the result is ${type ?? 'of unknown type'}`;
    return scale?.f64().every((s) => s > 1e-30 && s < 1e30)
      ? codes
      : 'the scale is computed, or beyond what float32 holds exactly';
  },
});

function sameConstant(a: Value | null | undefined, b: Value | null | undefined): boolean {
  if ((a ?? null) === (b ?? null)) return true;
  const [s, t] = [a?.isInitializer ? a.data : undefined, b?.isInitializer ? b.data : undefined];
  return (
    s !== undefined &&
    t !== undefined &&
    s.dtype === t.dtype &&
    s.dims.join() === t.dims.join() &&
    Buffer.compare(s.bytes(), t.bytes()) === 0
  );
}

/** Slice that takes exactly one input out of a Concat. */
export const eliminateConcatSlice = bypassPass({
  name: 'eliminate-concat-slice',
  doc: 'Removes a Slice that takes one input out of a Concat again.',
  numerics: 'exact',
  ops: ['Slice'],
  same(n) {
    const concat = producerOf(first(n), 'Concat');
    const rank = first(n)?.shape?.length;
    if (!concat || rank === undefined) return undefined;
    const [starts, ends, axes, steps] = [
      listOf(n, 'starts', 1),
      listOf(n, 'ends', 2),
      listOf(n, 'axes', 3),
      listOf(n, 'steps', 4),
    ];
    if (!starts || !ends || axes === undefined || steps === undefined) return 'its limits are computed';
    const axis = fromStart(concat.int('axis'), rank);
    if (starts.length !== 1 || fromStart(axes?.[0] ?? 0, rank) !== axis || (steps?.[0] ?? 1) !== 1) return undefined;
    const sizes = concat.inputs.map((v) => v?.shape?.[axis]);
    if (!sizes.every((s): s is number => typeof s === 'number')) return 'the sizes of the Concat inputs are not known';
    const total = sizes.reduce((a, b) => a + b, 0);
    const clamp = (v: number): number => Math.min(Math.max(v < 0 ? v + total : v, 0), total);
    const [from, to] = [clamp(starts[0]!), clamp(ends[0]!)];
    let at = 0;
    for (const [i, size] of sizes.entries()) {
      if (at === from && at + size === to && size > 0) return concat.inputs[i] ?? undefined;
      at += size;
    }
    return 'it takes more or less than one input of the Concat';
  },
});

/** Concat of all parts of a Split, in order, along the same axis. */
export const eliminateSplitConcat = bypassPass({
  name: 'eliminate-split-concat',
  doc: 'Removes a Concat of all parts of a Split.',
  numerics: 'exact',
  ops: ['Concat'],
  same(n) {
    const split = producerOf(first(n), 'Split');
    if (!split || n.inputs.length < 2 || !n.inputs.every((v) => v?.producer === split)) return undefined;
    const rank = first(split)?.shape?.length;
    const [a, b] = [split.int('axis', 0), n.int('axis')];
    if (a !== b && (rank === undefined || fromStart(a, rank) !== fromStart(b, rank)))
      return 'it joins along another axis than the Split cuts, or the rank is not known';
    return split.outputs.length === n.inputs.length && split.outputs.every((o, i) => o === n.inputs[i])
      ? first(split)
      : 'it takes the parts in another order, or not all';
  },
});

/** f(f(x)) = f(x) for functions that change nothing the second time. Also Not(Not(x)), Neg(Neg(x)) = x. */
export const eliminateRepeats = bypassPass({
  name: 'eliminate-repeats',
  doc: 'Removes the second of two equal Relu, Abs, Ceil, Floor, Round or Sign, and both of two Not or Neg.',
  numerics: 'exact',
  ops: ['Relu', 'Abs', 'Ceil', 'Floor', 'Round', 'Sign', 'Not', 'Neg'],
  same(n) {
    const before = producerOf(first(n), n.op);
    return before && (n.op === 'Not' || n.op === 'Neg') ? first(before) : before?.outputs[0];
  },
});

/**
 * Where by a constant that is true, or false, everywhere. Refuses where the other side may broadcast the chosen one.
 */
export const eliminateWhere = bypassPass({
  name: 'eliminate-where',
  doc: 'Removes a Where whose condition is constant and the same everywhere.',
  numerics: 'exact',
  ops: ['Where'],
  same(n) {
    const condition = n.inputs[0]?.isInitializer ? n.inputs[0].data : undefined;
    if (!condition || condition.size === 0 || condition.size > 1 << 20) return undefined;
    const bytes = condition.bytes();
    if (!bytes.every((b) => b === bytes[0])) return undefined;
    const chosen = n.inputs[bytes[0] ? 1 : 2];
    return chosen && sameShape(chosen.shape, n.outputs[0]?.shape)
      ? chosen
      : 'the result may have a larger shape than the chosen side';
  },
});
