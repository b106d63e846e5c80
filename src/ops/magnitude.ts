/** What of an operator's operands matters by magnitude: numbers near zero, and masks that are far below all others. */
import type { Node } from '../ir/graph.js';

const MOVES = [
  'Identity',
  'Dropout',
  'Reshape',
  'Flatten',
  'Transpose',
  'Squeeze',
  'Unsqueeze',
  'Slice',
  'Gather',
  'GatherElements',
  'GatherND',
  'Concat',
  'Split',
  'Expand',
  'Tile',
  'Pad',
];
/** Results that are as near to zero as the operands: what only moves, scales, squares, averages or chooses. */
const KEEPS_SMALL = new Set([
  ...MOVES,
  'Mul',
  'Div',
  'Pow',
  'Abs',
  'Neg',
  'Relu',
  'LeakyRelu',
  'PRelu',
  'Sqrt',
  'Max',
  'Min',
  'Clip',
  'Where',
  'Exp',
  'Softmax',
  'Sigmoid',
  'HardSigmoid',
  'Softplus',
  'Tanh',
  'Sum',
  'Mean',
  'ReduceMean',
  'ReduceSum',
  'ReduceSumSquare',
  'ReduceL1',
  'ReduceL2',
  'ReduceMax',
  'ReduceMin',
  'ReduceProd',
  'GlobalAveragePool',
  'AveragePool',
  'LpPool',
  'GlobalLpPool',
  'MaxPool',
  'GlobalMaxPool',
  'CumSum',
]);
const SHIFTS = new Set([
  'Add',
  'Sub',
  'Sum',
  'Max',
  'Min',
  'Clip',
  'Where',
  'Concat',
  'Pad',
  'Mean',
  'Expand',
  'Reshape',
]);
const CARRIES_INFINITY = new Set([
  ...MOVES,
  'Add',
  'Sub',
  'Sum',
  'Mul',
  'Div',
  'Where',
  'Neg',
  'Abs',
  'Cast',
  'LogSoftmax',
  'Min',
  'ScatterND',
  'ScatterElements',
  'Trilu',
]);
const SATURATES = new Set(['Softmax', 'LogSoftmax', 'Sigmoid', 'HardSigmoid', 'Tanh', 'Exp']);
const MASKED = new Set(['Add', 'Sum', 'Concat', 'Max', 'Min']);

/** Whether the result is small where the operands are, or may be small where they are not (squares, exponentials). */
export const keepsSmall = (n: Node): boolean => n.domain === '' && KEEPS_SMALL.has(n.op);

/**
 * Whether a constant operand is only added, chosen or compared: without it the result changes by no more than its size.
 */
export const onlyShifts = (n: Node): boolean => n.domain === '' && SHIFTS.has(n.op);

/** Whether an infinite element of an operand may be one of the result. */
export const carriesInfinity = (n: Node): boolean => n.domain === '' && CARRIES_INFINITY.has(n.op);

/** Whether the result no longer changes once an operand is far below zero or the others: softmax, sigmoid. */
export const saturates = (n: Node): boolean => n.domain === '' && SATURATES.has(n.op);

/** Whether a mask that is put on the operand is still one in the result. */
export const carriesMask = (n: Node): boolean =>
  carriesInfinity(n) || (n.domain === '' && ['Max', 'Clip', 'LeakyRelu'].includes(n.op));

/** Operands of which elements are chosen, or added to others, as those of a mask are. */
export function maskedOperands(n: Node): readonly number[] {
  if (n.domain !== '') return [];
  return n.op === 'Where' ? [1, 2] : MASKED.has(n.op) ? n.inputs.map((_, i) => i) : [];
}

/**
 * Whether an operand that is near zero and one that is zero give results that are far apart: a divisor, a logarithm, a
 * root.
 */
export function magnifies(n: Node, index: number): boolean {
  if (n.domain !== '') return false;
  switch (n.op) {
    case 'Div':
      return index === 1;
    case 'Log':
    case 'Sqrt':
    case 'Reciprocal':
      return index === 0;
    case 'Pow': {
      const exponent = n.inputs[1]?.data;
      return index === 0 && (!exponent || exponent.f32().some((e) => e < 1));
    }
    case 'BatchNormalization':
      return index === 4; // its variance
    default:
      return false;
  }
}

/** Whether nothing of an operand but its greatest elements is felt. */
export const onlyGreatest = (n: Node): boolean =>
  n.domain === '' && ['MaxPool', 'GlobalMaxPool', 'ReduceMax'].includes(n.op);

/** The number that a node puts beside what it moves, as Pad does; 0 where it is computed. */
export function fillValue(n: Node): number | undefined {
  if (n.op !== 'Pad' || n.domain !== '' || n.string('mode', 'constant') !== 'constant') return undefined;
  return n.attrs.has('value') ? n.float('value') : (n.inputs[2]?.data?.f64()[0] ?? 0);
}
