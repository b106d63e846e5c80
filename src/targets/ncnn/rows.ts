import { item } from '../../base/lists.js';
import type { CodedConstant, Edge } from '../shared/layers.js';
import { int8 } from './file.js';

/** Weights as ncnn lays them out, [rows, columns], in float or as codes with a factor for each row. */
export interface Rows {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array;
  readonly codes?: { readonly codes: Int8Array; readonly factors: Float32Array; readonly input: number };
}

/** Values are `factor` times those that the codes stand for. */
export function rowsOf(
  values: Float32Array,
  rows: number,
  coded: CodedConstant | undefined,
  x: Edge,
  factor = 1,
): Rows {
  const columns = values.length / rows;
  if (!coded || !x.params) return { rows, columns, values };
  const { scale } = coded.params;
  const factors = Float32Array.from({ length: rows }, (_, i) => 1 / (item(scale, scale.length === 1 ? 0 : i) * factor));
  return { rows, columns, values, codes: { codes: int8(coded.codes), factors, input: 1 / item(x.params.scale, 0) } };
}
