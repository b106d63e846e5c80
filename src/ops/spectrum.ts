/**
 * What operators do to small numbers between a linear layer and a logarithm or root, as in spectra: squares, sums of
 * few, decibels.
 */
import type { Node, Value } from '../ir/graph.js';
import { magnifies } from './magnitude.js';

const LINEAR = new Set([
  'Identity',
  'Dropout',
  'Reshape',
  'Flatten',
  'Transpose',
  'Squeeze',
  'Unsqueeze',
  'Slice',
  'Gather',
  'Concat',
  'Split',
  'Expand',
  'Tile',
  'Pad',
  'Add',
  'Sub',
  'Sum',
  'Neg',
]);
/** Sums and means of few elements are those of a real and an imaginary part; of many, no element counts for itself. */
const SUMS = new Set(['ReduceSum', 'ReduceMean', 'ReduceMax']);
const SQUARE_SUMS = new Set(['ReduceL1', 'ReduceL2', 'ReduceSumSquare']);
const CHOOSES = new Set(['Relu', 'LeakyRelu', 'Clip', 'Max', 'Min', 'Where']);
const FEW = 4;
/** What is added to keep off zero is smaller than this; what is larger takes zero away. */
const GUARD = 2 ** -6;

/**
 * How an operator hands on numbers whose relative size matters: sums and constant factors of its operands, their
 * squares or magnitudes, a choice between them and limits, a lower limit near zero; undefined for anything else.
 */
export type Carries = 'sums' | 'squares' | 'chooses' | 'floors';

export function carriesRelative(n: Node): Carries | undefined {
  if (n.domain !== '') return undefined;
  const [a, b] = n.inputs;
  if (LINEAR.has(n.op)) return 'sums';
  if (SUMS.has(n.op)) return ofFew(n) ? 'sums' : undefined;
  if (SQUARE_SUMS.has(n.op)) return ofFew(n) ? 'squares' : undefined;
  switch (n.op) {
    case 'Mul':
      return a === b ? 'squares' : constant(a) || constant(b) ? 'sums' : undefined;
    case 'Div':
      return constant(b) ? 'sums' : undefined;
    case 'BatchNormalization':
      return 'sums';
    case 'Abs':
      return 'squares';
    case 'Pow':
      // constants have data
      return !constant(b) ? undefined : b!.data!.f32().every((e) => e >= 2) ? 'squares' : 'chooses';
    case 'Sqrt':
      return 'chooses';
    default:
      return CHOOSES.has(n.op) ? (isFloor(n) ? 'floors' : 'chooses') : undefined;
  }
}

/** Operands of which small numbers become large differences: all of them for a logarithm, magnitudes for a root. */
export const magnified = (n: Node): readonly { readonly value: Value; readonly by: 'logarithm' | 'root' }[] =>
  n.op === 'ReduceLogSum' || n.op === 'Log'
    ? n.inputs.slice(0, 1).flatMap((v) => (v ? [{ value: v, by: 'logarithm' as const }] : [])) // a literal
    : n.op === 'BatchNormalization'
      ? []
      : n.inputs.flatMap((v, i) => (v && magnifies(n, i) ? [{ value: v, by: 'root' as const }] : [])); // a literal

/** Whether a constant keeps an operator's result well away from zero, so that a root or quotient magnifies nothing. */
export const keepsOffZero = (n: Node): boolean =>
  ['Add', 'Sum', 'Max', 'Clip'].includes(n.op) &&
  n.inputs.some((v) => constant(v) && v!.data!.f32().every((x) => x > GUARD)); // constants have data

const constant = (v: Value | null | undefined): boolean => v?.isInitializer === true && v.dtype === 'float32';

/** A lower limit near zero and no upper one: it only keeps a logarithm finite. */
function isFloor(n: Node): boolean {
  if (n.op !== 'Max' && n.op !== 'Clip') return false;
  if (n.op === 'Clip' && (n.attrs.has('min') || n.attrs.has('max')))
    return !n.attrs.has('max') && n.float('min') > 0 && n.float('min') <= GUARD;
  const bounds = n.inputs.filter((v) => constant(v));
  return (
    // one constant, which has data
    !(n.op === 'Clip' && n.inputs[2]) && bounds.length === 1 && bounds[0]!.data!.f32().every((x) => x > 0 && x <= GUARD)
  );
}

/** Whether each element of a reduction's result is made of no more than a few. */
function ofFew(n: Node): boolean {
  const size = (v: Value | null | undefined): number | undefined =>
    v?.shape?.reduce<number>((all, d) => (typeof d === 'number' ? all * d : all), 1);
  const symbols = (v: Value | null | undefined): number => v?.shape?.filter((d) => typeof d !== 'number').length ?? 0;
  const [before, after] = [n.inputs[0], n.outputs[0]];
  const [all, left] = [size(before), size(after)];
  return all !== undefined && left !== undefined && symbols(before) === symbols(after) && all <= FEW * left;
}
