/** What ops that move elements or compute shapes give. https://onnx.ai/onnx/operators/ */
import { item } from '../base/lists.js';
import { type Dim, type Shape } from '../ir/graph.js';
import {
  atLeastOne,
  axesOf,
  axisOf,
  broadcast,
  checkLength,
  intsOf,
  numbersOf,
  ofRank,
  type InferContext,
  type Known,
} from './spec.js';

export const of = (x: Known | undefined, shape: Shape | undefined, ints?: readonly Dim[]): Known[] => [
  { dtype: x?.dtype, shape, ints },
];

export function inferReshape(ctx: InferContext): readonly Known[] {
  const x = ctx.input(0);
  const target = ctx.node.attrs.has('shape') ? ctx.node.ints('shape') : intsOf(ctx, 1);
  if (!target) return of(x, ofRank(ctx, ctx.input(1)?.shape?.[0]));
  const zeroCopies = ctx.node.int('allowzero', 0) === 0;
  const out: Dim[] = target.map((d, i) => (d === 0 && zeroCopies ? (x?.shape?.[i] ?? null) : d));
  const hole = out.indexOf(-1);
  if (hole >= 0) out[hole] = inferHole(x?.shape, out, hole);
  return of(x, out, x?.ints);
}
/** The size at -1: symbols that stand on both sides cancel. */
function inferHole(from: Shape | undefined, to: readonly Dim[], hole: number): Dim {
  if (!from || from.includes(null)) return null;
  const left = [...from];
  let divisor = 1;
  for (const [i, d] of to.entries()) {
    if (i === hole) continue;
    if (d === null) return null;
    if (typeof d === 'number') {
      divisor *= d;
      continue;
    }
    const at = left.indexOf(d);
    if (at < 0) return null;
    left.splice(at, 1);
  }
  const symbols = left.filter((d) => typeof d === 'string');
  const product = left.reduce<number>((n, d) => n * (typeof d === 'number' ? d : 1), 1);
  if (divisor === 0 || product % divisor !== 0) return null;
  if (symbols.length === 0) return product / divisor;
  return symbols.length === 1 && product === divisor ? item(symbols, 0) : null;
}

export function inferSlice(ctx: InferContext): readonly Known[] {
  const x = ctx.input(0);
  const attrs = ctx.node.attrs.has('starts');
  const starts = attrs ? ctx.node.ints('starts') : numbersOf(ctx, 1);
  const ends = attrs ? ctx.node.ints('ends') : numbersOf(ctx, 2);
  const shape = x?.shape;
  if (!shape) return of(x, undefined);
  const given = attrs
    ? ctx.node.ints(
        'axes',
        (starts ?? []).map((_, i) => i),
      )
    : ctx.node.inputs[3]
      ? numbersOf(ctx, 3)
      : starts?.map((_, i) => i);
  if (!starts || !ends || !given) {
    if (!given)
      return of(
        x,
        shape.map(() => null),
      );
    const cut = new Set(given.map((a) => axisOf(ctx, a, shape.length)));
    return of(
      x,
      shape.map((d, i) => (cut.has(i) ? null : d)),
    );
  }
  const steps = ctx.node.inputs[4] ? numbersOf(ctx, 4) : undefined;
  for (const [what, list] of [
    ['ends', ends],
    ['axes', given],
    ['steps', steps ?? starts],
  ] as const)
    checkLength(ctx, what, list.length, starts.length);
  const out: Dim[] = [...shape];
  const ranges = shape.map((): readonly [from: number, step: number] => [0, 1]);
  const axes = given.map((a) => axisOf(ctx, a, shape.length));
  axes.forEach((a, i) => {
    const d = shape[a];
    const [s, e, step] = [starts[i] ?? 0, ends[i] ?? 0, steps?.[i] ?? 1];
    if (typeof d !== 'number') {
      out[a] = s === 0 && step === 1 && e >= Number.MAX_SAFE_INTEGER ? (d ?? null) : null;
      return;
    }
    const clampTo = (v: number, low: number, high: number): number => Math.min(Math.max(v < 0 ? v + d : v, low), high);
    const from = step > 0 ? clampTo(s, 0, d) : clampTo(s, 0, d - 1);
    const to = step > 0 ? clampTo(e, 0, d) : clampTo(e, -1, d - 1);
    out[a] = Math.max(0, Math.ceil((to - from) / step));
    ranges[a] = [from, step];
  });
  const ints = intsOf(ctx, 0);
  return of(
    x,
    out,
    ints && picked(ints, shape, out, (at) => at.map((i, a) => item(ranges, a)[0] + i * item(ranges, a)[1])),
  );
}

/** Elements of a tensor of sizes `to`, each from the place in one of sizes `from` that `source` gives for its own. */
export function picked(
  ints: readonly Dim[],
  from: Shape,
  to: Shape,
  source: (at: readonly number[]) => readonly number[],
): readonly Dim[] | undefined {
  const fixed = (s: Shape): s is readonly number[] => s.every((d) => typeof d === 'number');
  if (!fixed(from) || !fixed(to) || from.reduce((n, d) => n * d, 1) !== ints.length) return undefined;
  return Array.from({ length: to.reduce((n, d) => n * d, 1) }, (_, k) => {
    const at: number[] = [];
    for (let a = to.length - 1, rest = k; a >= 0; a--) {
      at.unshift(rest % item(to, a));
      rest = Math.floor(rest / item(to, a));
    }
    return ints[source(at).reduce((n, i, a) => n * item(from, a) + i, 0)] ?? null;
  });
}

export function inferGather(ctx: InferContext): readonly Known[] {
  const x = ctx.input(0);
  const indices = ctx.input(1);
  if (!x?.shape || !indices?.shape) return of(x, undefined);
  const axis = axisOf(ctx, ctx.node.int('axis', 0), x.shape.length);
  const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
  const data = intsOf(ctx, 0);
  const at = numbersOf(ctx, 1);
  const ints = data && at && x.shape.length <= 1 ? at.map((i) => data[i < 0 ? i + data.length : i] ?? null) : undefined;
  return of(x, shape, ints);
}

export function inferUnsqueeze(ctx: InferContext): readonly Known[] {
  const x = ctx.input(0);
  const axes = axesOf(ctx, 1);
  if (!x?.shape || !axes) return of(x, undefined, intsOf(ctx, 0));
  const rank = x.shape.length + axes.length;
  const at = new Set(axes.map((a) => axisOf(ctx, a, rank)));
  const rest = [...x.shape];
  return of(
    x,
    Array.from({ length: rank }, (_, i) => (at.has(i) ? 1 : (rest.shift() ?? null))),
    intsOf(ctx, 0),
  );
}
export function inferSqueeze(ctx: InferContext): readonly Known[] {
  const x = ctx.input(0);
  const axes = axesOf(ctx, 1);
  if (!x?.shape || (!axes && ctx.node.inputs[1])) return of(x, undefined, intsOf(ctx, 0));
  // Without axes, every axis of size 1 goes: one that is not known may, and then how many are left is not known.
  if (!axes && x.shape.some((d) => typeof d !== 'number')) return of(x, undefined, intsOf(ctx, 0));
  const rank = x.shape.length;
  const at = axes && new Set(axes.map((a) => axisOf(ctx, a, rank)));
  return of(
    x,
    x.shape.filter((d, i) => (at ? !at.has(i) : d !== 1)),
    intsOf(ctx, 0),
  );
}

export function inferConcat(ctx: InferContext): readonly Known[] {
  atLeastOne(ctx);
  const parts = ctx.node.inputs.map((_, i) => ctx.input(i));
  const first = parts.find((p) => p?.shape)?.shape;
  const dtype = parts.find((p) => p?.dtype)?.dtype;
  if (!first) return [{ dtype, shape: undefined }];
  const axis = axisOf(ctx, ctx.node.int('axis', 1), first.length);
  const shape = first.map((d, i): Dim => {
    if (i !== axis) return parts.map((p) => p?.shape?.[i]).find((v) => typeof v === 'number') ?? d;
    return parts.every((p) => typeof p?.shape?.[i] === 'number')
      ? parts.reduce((n, p) => n + Number(p?.shape?.[i]), 0)
      : null;
  });
  const pieces = parts.map((_, i) => intsOf(ctx, i));
  const ints = first.length === 1 && pieces.every((p) => p !== undefined) ? pieces.flat() : undefined;
  return [{ dtype, shape, ints: ints }]; // every piece was checked to be defined
}

export function inferSplit(ctx: InferContext): readonly Known[] {
  const x = ctx.input(0);
  const n = ctx.node.outputs.length;
  const sizes = ctx.node.attrs.has('split')
    ? ctx.node.ints('split')
    : ctx.node.inputs[1]
      ? numbersOf(ctx, 1)
      : undefined;
  if (!x?.shape) return ctx.node.outputs.map(() => ({ dtype: x?.dtype, shape: undefined }));
  const axis = axisOf(ctx, ctx.node.int('axis', 0), x.shape.length);
  const d = x.shape[axis];
  const part = typeof d === 'number' ? Math.ceil(d / n) : null;
  return ctx.node.outputs.map((_, k) => {
    const size = sizes
      ? (sizes[k] ?? null)
      : ctx.node.inputs[1]
        ? null
        : part === null || typeof d !== 'number'
          ? null
          : Math.min(part, d - k * part);
    return { dtype: x.dtype, shape: x.shape!.map((v, i) => (i === axis ? size : v)) };
  });
}

export function inferPad(ctx: InferContext): readonly Known[] {
  const x = ctx.input(0);
  const pads = ctx.node.attrs.has('pads')
    ? ctx.node.ints('pads')
    : ctx.node.attrs.has('paddings')
      ? ctx.node.ints('paddings')
      : numbersOf(ctx, 1);
  const shape = x?.shape;
  if (!shape || !pads)
    return of(
      x,
      shape?.map(() => null),
    );
  const axes = ctx.node.inputs[3] ? numbersOf(ctx, 3) : shape.map((_, i) => i);
  if (!axes)
    return of(
      x,
      shape.map(() => null),
    );
  checkLength(ctx, 'pads', pads.length, 2 * axes.length);
  const out: Dim[] = [...shape];
  axes.forEach((a, i) => {
    const at = axisOf(ctx, a, shape.length);
    const d = shape[at];
    const more = item(pads, i) + item(pads, i + axes.length); // lengths were checked
    out[at] = typeof d === 'number' ? d + more : more === 0 ? (d ?? null) : null;
  });
  return of(x, out);
}

export function inferExpand(ctx: InferContext): readonly Known[] {
  const x = ctx.input(0);
  const target = intsOf(ctx, 1);
  if (!target) {
    const n = ofRank(ctx, ctx.input(1)?.shape?.[0]);
    return of(x, n && x?.shape ? ofRank(ctx, Math.max(n.length, x.shape.length)) : undefined);
  }
  return of(x, broadcast(x?.shape, target));
}
