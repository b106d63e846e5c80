/**
 * Weights stored in few bits and turned back into float32 when the model is loaded: what the file holds, and what it
 * means.
 */
import type { z } from 'zod';
import type { Rng } from '../../base/rng.js';
import type { Tensor } from '../../ir/tensor.js';

/**
 * A weight as a matrix: `rows` output channels of `columns` elements each; element (r, c) lies at r·rowStride +
 * c·columnStride.
 */
export interface Matrix {
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/**
 * value = level · scale, both float32. `codes` holds one element per weight, row-major [rows, blocks · size], where
 * each row is filled up with zeros to whole blocks; packed codes hold `perByte` of them in a byte, the first in the
 * lowest digit to base `levels`, or `planes` bits each, apart, as bitPlanes() of matrix.ts lays them out.
 */
export interface Coded {
  readonly codes: Tensor;
  readonly perByte?: number;
  /** Bits of a code in planes: 3, 5, 6 or 7. */
  readonly planes?: number;
  /**
   * Values of the codes: [levels] for all, or [tables, levels], each table for as many rows as the others. Absent:
   * codes mean themselves, less `zeroPoint`.
   */
  readonly levels?: Tensor;
  readonly zeroPoint?: number;
  /** [rows, blocks]; in the type that the file holds. Absent: 1. */
  readonly scale?: Tensor;
  /** One more factor for all. */
  readonly factor?: number;
  /** Elements of a row that share a scale; the row where absent. */
  readonly block?: number;
}

export interface Coding<O = unknown> {
  readonly name: string;
  readonly doc: string;
  /** Where it is fast, and where it is only small. */
  readonly runs: string;
  readonly options: z.ZodType<O>;
  /** Opset that has the types of what `encode` gives. */
  minOpset(options: O): number;
  /** Why a weight cannot be stored so; undefined where it can. Absent: every weight can. Cheap, as planning asks it. */
  refusal?(m: Matrix, options: O): string | undefined;
  /**
   * What training may change beside the weights that are rounded: scales, the levels themselves (weights then keep the
   * codes that they have), or neither. Absent: codes of this coding cannot be learned.
   */
  learns?(options: O): 'scales' | 'levels' | 'neither';
  /** Whether the error of a weight counts by the inputs that it is multiplied with. Absent: no. */
  weighsInputs?(options: O): boolean;
  /** Pure but for `rng`. `importance`, row-major, says how much the squared error of each element counts. */
  encode(m: Matrix, options: O, rng: Rng, importance?: Float32Array): Coded;
}
