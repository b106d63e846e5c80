/**
 * Tensors with zero points, of which ncnn has none. x = (q − z)·s is held as ±x + |z|·s, whose codes are ±q: the layer
 * that makes it and those that read it take sign and shift into their weights and biases. The sign is that of z, so
 * that zero has the code |z| ≥ 0, which borders are filled with: src/layer/x86/padding_x86.cpp spreads a code over a
 * word with its sign, so that a negative one fills every eighth channel only.
 */
import { item } from '../../base/lists.js';
import type { Edge } from '../shared/layers.js';
import type { Rows } from './rows.js';

export interface Held {
  readonly sign: 1 | -1;
  readonly shift: number;
  /** The code of zero. */
  readonly zero: number;
}

export function heldOf({ params }: Edge): Held {
  const zero = params ? item(params.zeroPoint, 0) : 0;
  const size = Math.abs(zero);
  return { sign: zero < 0 ? -1 : 1, shift: size * (params ? item(params.scale, 0) : 0), zero: size };
}

/** A product as the model has it. */
export interface Plain {
  readonly rows: Rows;
  readonly bias: Float32Array | undefined;
  readonly clamp: readonly [low: number, high: number] | undefined;
}
export interface Folded extends Plain {
  /** The code that borders are filled with. */
  readonly border: number;
}

/** A product of a tensor that is held as `x` says, whose result is to be held as `y` says. */
export function folded(given: Plain, x: Held, y: Held): Folded {
  const { rows, bias, clamp } = given;
  const border = x.zero;
  const sign = x.sign * y.sign;
  if (sign === 1 && !border && !y.zero) return { ...given, border };
  // of the same type
  const turned = <T extends Float32Array | Int8Array>(a: T): T => (sign === 1 ? a : (a.map((v) => -v) as T));
  const ends = clamp?.map((c) => y.sign * c + y.shift).sort((a, b) => a - b);
  return {
    rows: {
      ...rows,
      values: turned(rows.values),
      ...(rows.codes ? { codes: { ...rows.codes, codes: turned(rows.codes.codes) } } : {}),
    },
    bias: Float32Array.from(
      { length: rows.rows },
      (_, r) => y.sign * ((bias ? item(bias, r) : 0) - x.sign * x.shift * sumOf(rows, r)) + y.shift,
    ),
    clamp: ends && [item(ends, 0), item(ends, 1)],
    border,
  };
}

/** The sum of a row of weights, of those that its codes stand for. */
function sumOf({ columns, values, codes }: Rows, row: number): number {
  const of = codes?.codes ?? values;
  let sum = 0;
  for (let i = row * columns; i < (row + 1) * columns; i++) sum += of[i]!; // within the row
  return codes ? sum / item(codes.factors, row) : sum;
}
