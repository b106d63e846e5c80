/** How many weights of which layers are zero. */
import { dataOf } from '../../ir/known.js';
import type { Model } from '../../ir/model.js';
import { sparseLayers } from './layers.js';

export interface LayerSparsity {
  readonly name: string;
  readonly zeros: number;
  readonly weights: number;
}

/** Of every layer with constant weights, in the order of the model. */
export function sparsityOf(model: Model): LayerSparsity[] {
  return sparseLayers(model).map(({ name, weight }) => {
    const data = dataOf(weight);
    return { name, zeros: data.f32().reduce((n, w) => n + (w === 0 ? 1 : 0), 0), weights: data.size };
  });
}
