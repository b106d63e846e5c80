/** Which axes of a node's inputs and outputs hold the same channels, in the same order. */
import type { Node, Value } from '../ir/graph.js';
import { normalAxis } from './spec.js';

/** Channel c of axis `b` is channel (c + offset) / repeat, rounded down, of axis `a`. */
export interface Tie {
  readonly a: AxisOf;
  readonly b: AxisOf;
  readonly offset?: number;
  readonly repeat?: number;
}
export interface AxisOf {
  readonly value: Value;
  readonly axis: number;
}

/**
 * The ties of a node for which scaling channels by positive factors passes through: f(s·x) = s·f(x) along a tied axis.
 * An axis that no tie and no weight speaks of must keep its scale. Needs inferred shapes; says nothing where they lack.
 */
export function ties(node: Node): readonly Tie[] {
  return node.domain === '' ? (RULES[node.op]?.(node) ?? []) : [];
}

type Rule = (n: Node) => Tie[];

/** Axes of the same place and size. */
const same = (from: Value | null | undefined, to: Value | undefined, axes?: (axis: number) => boolean): Tie[] => {
  const [x, y] = [from?.shape, to?.shape];
  if (!from || !to || !x || !y || x.length !== y.length) return [];
  return x.flatMap((d, axis) =>
    typeof d === 'number' && d === y[axis] && (axes?.(axis) ?? true)
      ? [{ a: { value: from, axis }, b: { value: to, axis } }]
      : [],
  );
};
const unary: Rule = (n) => same(n.inputs[0], n.outputs[0]);
const image: Rule = (n) => same(n.inputs[0], n.outputs[0], (axis) => axis < 2);
/**
 * Every operand that is not a constant, aligned from the right. An operand that is broadcast along an axis has no tie
 * there.
 */
const addends: Rule = (n) =>
  n.inputs.flatMap((x) => {
    const y = n.outputs[0];
    const lead = (y?.shape?.length ?? 0) - (x?.shape?.length ?? 0);
    if (!x?.shape || !y?.shape || x.isInitializer || lead < 0) return [];
    return x.shape.flatMap((d, axis) =>
      typeof d === 'number' && d === y.shape![axis + lead]
        ? [{ a: { value: x, axis }, b: { value: y, axis: axis + lead } }]
        : [],
    ); // checked above
  });
/** A factor that is constant: the other operand is scaled as a whole. */
const factor: Rule = (n) => {
  const [x, k] = n.inputs;
  if (k?.isInitializer) return aligned(x, n.outputs[0]);
  return n.op === 'Mul' && x?.isInitializer ? aligned(k, n.outputs[0]) : [];
};
const aligned = (x: Value | null | undefined, y: Value | undefined): Tie[] => {
  const lead = (y?.shape?.length ?? 0) - (x?.shape?.length ?? 0);
  if (!x?.shape || !y?.shape || lead < 0) return [];
  return x.shape.flatMap((d, axis) =>
    typeof d === 'number' && d === y.shape![axis + lead]
      ? [{ a: { value: x, axis }, b: { value: y, axis: axis + lead } }]
      : [],
  ); // checked above
};

const RULES: Readonly<Record<string, Rule>> = {
  Relu: unary,
  LeakyRelu: unary,
  PRelu: (n) => (n.inputs[1]?.isInitializer ? unary(n) : []),
  Identity: unary,
  Dropout: unary,
  Neg: unary,
  Abs: unary,
  MaxPool: image,
  AveragePool: image,
  GlobalAveragePool: image,
  GlobalMaxPool: image,
  LpPool: image,
  GlobalLpPool: image,
  Resize: image,
  Upsample: image,
  Add: addends,
  Sub: addends,
  Sum: addends,
  Mean: addends,
  Mul: factor,
  Div: factor,
  Concat(n) {
    const y = n.outputs[0];
    if (!y?.shape) return [];
    const axis = normalAxis(n.int('axis'), y.shape.length);
    let at: number | undefined = 0;
    const found: Tie[] = [];
    for (const x of n.inputs) {
      const size: unknown = x?.shape?.[axis];
      found.push(...same(x, y, (a) => a !== axis));
      if (x && at !== undefined && typeof size === 'number')
        found.push({ a: { value: x, axis }, b: { value: y, axis }, offset: -at });
      at = at !== undefined && typeof size === 'number' ? at + size : undefined;
    }
    return found;
  },
  Split(n) {
    const x = n.inputs[0];
    if (!x?.shape) return [];
    const axis = normalAxis(n.int('axis', 0), x.shape.length);
    let at: number | undefined = 0;
    const found: Tie[] = [];
    for (const y of n.outputs) {
      const size: unknown = y.shape?.[axis];
      found.push(...same(x, y, (a) => a !== axis));
      if (at !== undefined && typeof size === 'number')
        found.push({ a: { value: x, axis }, b: { value: y, axis }, offset: at });
      at = at !== undefined && typeof size === 'number' ? at + size : undefined;
    }
    return found;
  },
  Pad(n) {
    const [x, pads, value] = n.inputs;
    const y = n.outputs[0];
    const amounts = n.attrs.has('pads') ? n.ints('pads') : pads?.data?.numbersOrUndefined();
    // with axes of its own: not spoken of
    if (!x?.shape || !y || !amounts || amounts.length !== 2 * x.shape.length) return [];
    const zero = n.attrs.has('value') ? n.float('value') === 0 : !value || (value.data?.f64()[0] ?? NaN) === 0;
    const plain = n.string('mode', 'constant') === 'constant';
    if (plain && !zero) return [];
    return x.shape.flatMap((d, axis): Tie[] => {
      const [before, after] = [amounts[axis]!, amounts[axis + x.shape!.length]!]; // lengths checked above
      if (typeof d !== 'number' || before < 0 || after < 0 || (!plain && (before || after))) return [];
      return [{ a: { value: x, axis }, b: { value: y, axis }, offset: -before }];
    });
  },
  Slice(n) {
    const [x, starts, , axes, steps] = n.inputs;
    const y = n.outputs[0];
    const from = n.attrs.has('starts') ? n.ints('starts') : starts?.data?.numbersOrUndefined();
    if (!x?.shape || !y?.shape || !from) return [];
    const which = n.attrs.has('axes') ? n.ints('axes') : axes ? axes.data?.numbersOrUndefined() : from.map((_, i) => i);
    const step = steps ? steps.data?.numbersOrUndefined() : from.map(() => 1);
    if (!which || !step) return [];
    const rank = x.shape.length;
    const cut = new Map(which.map((a, i) => [normalAxis(a, rank), i]));
    return x.shape.flatMap((d, axis): Tie[] => {
      const i = cut.get(axis);
      if (typeof d !== 'number' || typeof y.shape![axis] !== 'number') return [];
      if (i === undefined) return [{ a: { value: x, axis }, b: { value: y, axis } }];
      if (step[i] !== 1) return [];
      return [
        {
          a: { value: x, axis },
          b: { value: y, axis },
          offset: Math.min(Math.max(from[i]! < 0 ? from[i]! + d : from[i]!, 0), d),
        },
      ]; // one for each axis
    });
  },
  Transpose(n) {
    const [x] = n.inputs;
    const y = n.outputs[0];
    if (!x?.shape || !y) return [];
    const perm = n.ints(
      'perm',
      x.shape.map((_, i) => x.shape!.length - 1 - i),
    ); // checked above
    return perm.flatMap((from, to) =>
      typeof x.shape![from] === 'number' ? [{ a: { value: x, axis: from }, b: { value: y, axis: to } }] : [],
    );
  },
  Flatten: flattened,
  Reshape: flattened,
  Squeeze: kept,
  Unsqueeze: kept,
  ReduceMean: reduced,
  ReduceSum: reduced,
  ReduceMax: reduced,
  ReduceMin: reduced,
};

/** [N, C, …] to [N, C · rest]: each channel becomes `rest` neighbours. */
function flattened(n: Node): Tie[] {
  const [x] = n.inputs;
  const y = n.outputs[0];
  if (!x?.shape || !y?.shape || x.shape.length < 2 || y.shape.length !== 2) return [];
  const inner = x.shape.slice(1);
  if (!inner.every((d): d is number => typeof d === 'number')) return [];
  const [channels, ...rest] = inner;
  const repeat = rest.reduce((a, d) => a * d, 1);
  // rank is at least 2
  if (y.shape[1] !== channels! * repeat || (n.op === 'Flatten' && n.int('axis', 1) !== 1)) return [];
  return [{ a: { value: x, axis: 1 }, b: { value: y, axis: 1 }, repeat }];
}

/** Axes of size one come or go: the others keep their order. */
function kept(n: Node): Tie[] {
  const [x] = n.inputs;
  const y = n.outputs[0];
  if (!x?.shape || !y?.shape) return [];
  const [from, to] = [
    x.shape.map((d, axis) => ({ d, axis })).filter(({ d }) => d !== 1),
    y.shape.map((d, axis) => ({ d, axis })).filter(({ d }) => d !== 1),
  ];
  if (from.length !== to.length) return [];
  return from.flatMap(({ d, axis }, i) =>
    typeof d === 'number' && d === to[i]!.d ? [{ a: { value: x, axis }, b: { value: y, axis: to[i]!.axis } }] : [],
  ); // same length
}

function reduced(n: Node): Tie[] {
  const [x, input] = n.inputs;
  const y = n.outputs[0];
  const axes = n.attrs.has('axes') ? n.ints('axes') : input?.data?.numbersOrUndefined();
  if (!x?.shape || !y?.shape || !axes?.length) return [];
  const rank = x.shape.length;
  const gone = new Set(axes.map((a) => normalAxis(a, rank)));
  const keep = n.int('keepdims', 1) !== 0;
  let to = 0;
  const found: Tie[] = [];
  for (let axis = 0; axis < rank; axis++) {
    if (gone.has(axis)) {
      if (keep) to++;
      continue;
    }
    if (typeof x.shape[axis] === 'number') found.push({ a: { value: x, axis }, b: { value: y, axis: to } });
    to++;
  }
  return found;
}

/** Operators of which {@link ties} may say something. */
export const tiedOps: readonly string[] = Object.keys(RULES);
