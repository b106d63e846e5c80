/** How many weights of which layers are zero. */
import { dataOf } from '../../ir/known.js';
import type { Model } from '../../ir/model.js';
import { sparseLayers, type SparseLayer } from './layers.js';

export interface LayerSparsity {
  readonly name: string;
  readonly zeros: number;
  readonly weights: number;
}

/** Of every layer with constant weights, in the order of the model. */
export const sparsityOf = (model: Model): LayerSparsity[] => sparseLayers(model).map(sparsityIn);

export function sparsityIn({ name, weight }: Pick<SparseLayer, 'name' | 'weight'>): LayerSparsity {
  const data = dataOf(weight);
  return { name, zeros: data.f32().reduce((n, w) => n + (w === 0 ? 1 : 0), 0), weights: data.size };
}
