/** What a model computes and holds while channels are taken out of it, without making the smaller model each time. */
import { item } from '../base/lists.js';
import type { ChannelUnit, Cut } from '../channels/removal.js';
import type { Node, Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import type { Model } from '../ir/model.js';
import { linearViews, specOf } from '../ops/index.js';

/** Multiply-accumulates of one sample, and elements of constants. */
export interface Amounts {
  readonly macs: number;
  readonly parameters: number;
}
export type Quantity = keyof Amounts;

/**
 * Work of each node with a weight is in proportion to each axis of the weight that loses channels; what is computed of
 * activations alone counts as it is. Needs inferred shapes; sizes that are not known count as 1.
 */
export class Work {
  /** Multiply-accumulates of the node that reads a constant as its weight. */
  readonly #macs = new Map<Value, number>();
  readonly #sizes = new Map<Value, number>();
  readonly #rest: Amounts;
  /** Indices that are gone, by constant and axis. */
  readonly #gone = new Map<Value, number[]>();

  constructor(model: Model) {
    let others = 0;
    for (const node of model.graph.topological()) {
      const macs = macsOf(node);
      const weights = linearViews(node).flatMap((v) => node.inputs[v.weight] ?? []);
      const [weight] = weights;
      if (weight?.isInitializer) this.#macs.set(weight, (this.#macs.get(weight) ?? 0) + macs);
      else others += macs;
    }
    for (const v of model.graph.initializers) this.#sizes.set(v, dataOf(v).size);
    this.#rest = { macs: others, parameters: 0 };
  }

  take(units: readonly ChannelUnit[]): void {
    for (const { cuts } of units) for (const c of cuts) this.#count(c, 1);
  }
  giveBack(units: readonly ChannelUnit[]): void {
    for (const { cuts } of units) for (const c of cuts) this.#count(c, -1);
  }
  get left(): Amounts {
    let { macs, parameters } = this.#rest;
    for (const [v, n] of this.#macs) macs += n * this.#share(v);
    for (const [v, n] of this.#sizes) parameters += n * this.#share(v);
    return { macs, parameters };
  }

  #count({ constant, axis }: Cut, by: number): void {
    const own = this.#gone.get(constant) ?? dataOf(constant).dims.map(() => 0);
    own[axis] = item(own, axis) + by;
    this.#gone.set(constant, own);
  }
  #share(v: Value): number {
    const gone = this.#gone.get(v);
    if (!gone) return 1;
    return dataOf(v).dims.reduce((p, d, axis) => p * (1 - item(gone, axis) / d), 1);
  }
}

function macsOf(node: Node): number {
  const spec = specOf(node);
  if (!spec || spec.cost === 'free') return 0;
  const known = (v: Value | null) => (v ? { dtype: v.dtype, shape: v.shape } : undefined);
  return spec.cost(
    node.inputs.map(known),
    node.outputs.map((o) => ({ dtype: o.dtype, shape: o.shape })),
    node,
  ).macs;
}
