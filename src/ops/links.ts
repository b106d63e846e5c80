/** Which axes of a node's inputs and outputs hold the same channels, in the same order: rules for operators' specs. */
import type { Value } from '../ir/graph.js';
import type { LinkRule, Tie } from './facets.js';
import { normalAxis } from './spec.js';

/** Axes of the same place and size. */
export const same = (
  from: Value | null | undefined,
  to: Value | undefined,
  homogeneous: boolean,
  axes?: (axis: number) => boolean,
): Tie[] => {
  const [x, y] = [from?.shape, to?.shape];
  if (!from || !to || !x || !y || x.length !== y.length) return [];
  return x.flatMap((d, axis) =>
    typeof d === 'number' && d === y[axis] && (axes?.(axis) ?? true)
      ? [{ a: { value: from, axis }, b: { value: to, axis }, homogeneous }]
      : [],
  );
};
/** One element for one, and factors pass: Relu, Neg. */
export const scaled: LinkRule = (n) => same(n.inputs[0], n.outputs[0], true);
/** One element for one by any function: Sigmoid, Exp. */
export const elements: LinkRule = (n) => same(n.inputs[0], n.outputs[0], false);
/** Samples and channels of an image; positions are mixed. */
export const image: LinkRule = (n) => same(n.inputs[0], n.outputs[0], true, (axis) => axis < 2);
/** All axes but those from `axis` (of `fallback`) on, which a normalisation mixes; with `only`, but that one. */
export const beside =
  (fallback: number, only: boolean): LinkRule =>
  (n) => {
    const rank = n.inputs[0]?.shape?.length ?? 0;
    const mixed = normalAxis(n.int('axis', fallback), rank);
    return same(n.inputs[0], n.outputs[0], false, (axis) => (only ? axis !== mixed : axis < mixed));
  };
/** Samples only: what is in one is mixed. */
export const samples: LinkRule = (n) => same(n.inputs[0], n.outputs[0], false, (axis) => axis === 0);
/** Axes before the one that is normalised: before opset 13, which a node does not tell, those behind are mixed too. */
export const softmaxed: LinkRule = (n) => (n.attrs.has('axis') ? beside(-1, false)(n) : samples(n));
/** Every operand, aligned from the right, by any function. */
export const operands: LinkRule = (n) => n.inputs.flatMap((x) => aligned(x, n.outputs[0], false));
/**
 * Every operand that is not a constant, aligned from the right. An operand that is broadcast along an axis has no tie
 * there.
 */
export const addends: LinkRule = (n) =>
  n.inputs.flatMap((x) => (x?.isInitializer ? [] : aligned(x, n.outputs[0], true)));
/** A factor that is constant: the other operand is scaled as a whole. Two tensors: each channel by its own. */
export const product: LinkRule = (n) => {
  const [x, k] = n.inputs;
  if (k?.isInitializer) return aligned(x, n.outputs[0], true);
  if (x?.isInitializer) return aligned(k, n.outputs[0], n.op === 'Mul');
  return operands(n);
};
const aligned = (x: Value | null | undefined, y: Value | undefined, homogeneous: boolean): Tie[] => {
  const [from, to] = [x?.shape, y?.shape];
  if (!x || !y || !from || !to || to.length < from.length) return [];
  const lead = to.length - from.length;
  return from.flatMap((d, axis) =>
    typeof d === 'number' && d === to[axis + lead]
      ? [{ a: { value: x, axis }, b: { value: y, axis: axis + lead }, homogeneous }]
      : [],
  );
};
/** x or slope · x. */
export const sloped: LinkRule = (n) => (n.inputs[1]?.isInitializer ? scaled(n) : operands(n));

export const joined: LinkRule = (n) => {
  const y = n.outputs[0];
  if (!y?.shape) return [];
  const axis = normalAxis(n.int('axis'), y.shape.length);
  let at: number | undefined = 0;
  const found: Tie[] = [];
  for (const x of n.inputs) {
    const size: unknown = x?.shape?.[axis];
    found.push(...same(x, y, true, (a) => a !== axis));
    if (x && at !== undefined && typeof size === 'number')
      found.push({ a: { value: x, axis }, b: { value: y, axis }, homogeneous: true, offset: -at });
    at = at !== undefined && typeof size === 'number' ? at + size : undefined;
  }
  return found;
};

export const cut: LinkRule = (n) => {
  const x = n.inputs[0];
  if (!x?.shape) return [];
  const axis = normalAxis(n.int('axis', 0), x.shape.length);
  let at: number | undefined = 0;
  const found: Tie[] = [];
  for (const y of n.outputs) {
    const size: unknown = y.shape?.[axis];
    found.push(...same(x, y, true, (a) => a !== axis));
    if (at !== undefined && typeof size === 'number')
      found.push({ a: { value: x, axis }, b: { value: y, axis }, homogeneous: true, offset: at });
    at = at !== undefined && typeof size === 'number' ? at + size : undefined;
  }
  return found;
};

export const padded: LinkRule = (n) => {
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
    return [{ a: { value: x, axis }, b: { value: y, axis }, homogeneous: true, offset: -before }];
  });
};

export const sliced: LinkRule = (n) => {
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
    if (i === undefined) return [{ a: { value: x, axis }, b: { value: y, axis }, homogeneous: true }];
    if (step[i] !== 1) return [];
    return [
      {
        a: { value: x, axis },
        b: { value: y, axis },
        homogeneous: true,
        offset: Math.min(Math.max(from[i]! < 0 ? from[i]! + d : from[i]!, 0), d),
      },
    ];
  });
};

export const permuted: LinkRule = (n) => {
  const [x] = n.inputs;
  const y = n.outputs[0];
  if (!x?.shape || !y) return [];
  const perm = n.ints(
    'perm',
    x.shape.map((_, i) => x.shape!.length - 1 - i),
  );
  return perm.flatMap((from, to) =>
    typeof x.shape![from] === 'number'
      ? [{ a: { value: x, axis: from }, b: { value: y, axis: to }, homogeneous: true }]
      : [],
  );
};

/** [N, C, …] to [N, C · rest]: each channel becomes `rest` neighbours. */
export const flattened: LinkRule = (n) => {
  const [x] = n.inputs;
  const y = n.outputs[0];
  if (!x?.shape || !y?.shape || x.shape.length < 2 || y.shape.length !== 2) return [];
  const inner = x.shape.slice(1);
  if (!inner.every((d): d is number => typeof d === 'number')) return [];
  const [channels, ...rest] = inner;
  const repeat = rest.reduce((a, d) => a * d, 1);
  // rank is at least 2
  if (y.shape[1] !== channels! * repeat || (n.op === 'Flatten' && n.int('axis', 1) !== 1)) return [];
  return [{ a: { value: x, axis: 1 }, b: { value: y, axis: 1 }, homogeneous: true, repeat }];
};

/** Axes of size one come or go: the others keep their order. */
export const kept: LinkRule = (n) => {
  const [x] = n.inputs;
  const y = n.outputs[0];
  if (!x?.shape || !y?.shape) return [];
  const [from, to] = [
    x.shape.map((d, axis) => ({ d, axis })).filter(({ d }) => d !== 1),
    y.shape.map((d, axis) => ({ d, axis })).filter(({ d }) => d !== 1),
  ];
  if (from.length !== to.length) return [];
  return from.flatMap(({ d, axis }, i) =>
    typeof d === 'number' && d === to[i]!.d
      ? [{ a: { value: x, axis }, b: { value: y, axis: to[i]!.axis }, homogeneous: true }]
      : [],
  );
};

export const reduced: LinkRule = (n) => {
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
    if (typeof x.shape[axis] === 'number')
      found.push({ a: { value: x, axis }, b: { value: y, axis: to }, homogeneous: true });
    to++;
  }
  return found;
};
