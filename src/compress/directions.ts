/** In which directions of its outputs a product with a matrix does most. */
import { Matrix } from 'ml-matrix';
import { item } from '../base/lists.js';
import { rowsOfLayer, type LayerShape } from '../channels/layer.js';
import { falling, gramOf, matrixOf, rootOf } from '../codes/spectrum.js';
import { dataOf } from '../ir/known.js';
import { sideOf, type Moments } from './output-moments.js';

export interface Directions {
  /** Orthonormal columns [rows, count], row-major, those of most energy first. */
  readonly vectors: Float64Array;
  /** Mean squares of the outputs along them, falling, and their sum. */
  readonly energies: Float64Array;
  readonly total: number;
}

/**
 * The principal directions of W·x over samples, about their mean where the layer has a bias that takes it; without
 * samples those of W itself. Of a matrix with fewer columns than rows, there are as many as columns.
 */
export function directions(layer: LayerShape, seen: Moments | undefined): Directions {
  const { rows, columns, bias } = layer;
  const own = rowsOfLayer(layer, dataOf(layer.weight).f64(), { group: 0, first: 0, rows });
  const w = matrixOf(own, rows, columns);
  const spread = seen && matrixOf(aboutMean(seen, bias !== undefined), seen.mean.length, seen.mean.length);
  if (sideOf(layer) === 'outputs') {
    const { values, vectors } = falling(spread ?? gramOf(w));
    return { vectors: flat(vectors), energies: values, total: sumOf(values) };
  }
  // W·C·Wᵀ has the directions W·R·v, where C = R·Rᵀ and v are those of (W·R)ᵀ·(W·R).
  const root = spread ? rootOf(spread) : Matrix.eye(columns);
  const turned = w.mmul(root);
  const { values, vectors } = falling(gramOf(turned.transpose()));
  const along = turned.mmul(vectors);
  for (let k = 0; k < columns; k++) {
    const length = Math.sqrt(Math.max(item(values, k), Number.MIN_VALUE));
    for (let r = 0; r < rows; r++) along.set(r, k, along.get(r, k) / length);
  }
  return { vectors: flat(along), energies: values, total: sumOf(values) };
}

function aboutMean({ products, mean }: Moments, centred: boolean): Float64Array {
  const n = mean.length;
  return products.map((v, at) => (centred ? v - item(mean, Math.floor(at / n)) * item(mean, at % n) : v));
}

const flat = (m: Matrix): Float64Array => Float64Array.from(m.to1DArray());
const sumOf = (list: Float64Array): number => list.reduce((n, v) => n + v, 0) || Number.MIN_VALUE;
