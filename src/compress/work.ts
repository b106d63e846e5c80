/** What a model computes and holds while channels are taken out of it, without making the smaller model each time. */
import { item } from '../base/lists.js';
import type { ChannelUnit } from '../channels/removal.js';
import type { Node, Shape, Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import type { Model } from '../ir/model.js';
import { linearViews, specOf } from '../ops/index.js';

/** Multiply-accumulates of one sample, and elements and bytes of constants. */
export interface Amounts {
  readonly macs: number;
  readonly parameters: number;
  /** Of all constants. */
  readonly bytes: number;
}
export type Quantity = keyof Amounts;

/**
 * Work of each node with a weight is in proportion to each axis of the weight that loses channels; what is computed of
 * activations alone, such as the products of attention, to those of its result. Needs inferred shapes; sizes that are
 * not known count as 1.
 */
export class Work {
  /** Multiply-accumulates of the node that reads a constant as its weight. */
  readonly #macs = new Map<Value, number>();
  /** Those of activations alone, by what is made. */
  readonly #ofActivations = new Map<Value, number>();
  readonly #sizes = new Map<Value, number>();
  /** Indices that are gone, by constant and axis. */
  readonly #gone = new Map<Value, number[]>();

  /** `sized`: nodes of a copy in which more sizes are known, by the model's own. */
  constructor(model: Model, sized?: ReadonlyMap<Node, Node>) {
    for (const node of model.graph.topological()) {
      const macs = macsOf(sized?.get(node) ?? node);
      const weights = linearViews(node).flatMap((v) => node.inputs[v.weight] ?? []);
      const [weight] = weights;
      if (weight?.isInitializer) this.#macs.set(weight, (this.#macs.get(weight) ?? 0) + macs);
      else if (macs && node.outputs[0]) this.#ofActivations.set(node.outputs[0], macs);
    }
    for (const v of model.graph.initializers) this.#sizes.set(v, dataOf(v).size);
  }

  take(units: readonly ChannelUnit[]): void {
    this.#all(units, 1);
  }
  giveBack(units: readonly ChannelUnit[]): void {
    this.#all(units, -1);
  }
  get left(): Amounts {
    let [macs, parameters, bytes] = [0, 0, 0];
    for (const [v, n] of this.#macs) macs += n * this.#share(v, dataOf(v).dims);
    for (const [v, n] of this.#ofActivations) macs += n * this.#share(v, v.shape ?? []);
    for (const [v, n] of this.#sizes) {
      const share = this.#share(v, dataOf(v).dims);
      parameters += n * share;
      bytes += dataOf(v).byteLength * share;
    }
    return { macs, parameters, bytes };
  }

  #all(units: readonly ChannelUnit[], by: number): void {
    for (const { cuts, places } of units) {
      for (const c of cuts) this.#count(c.constant, c.axis, dataOf(c.constant).dims.length, by);
      for (const { value, axis } of places)
        if (this.#ofActivations.has(value)) this.#count(value, axis, value.shape?.length ?? 0, by);
    }
  }
  #count(v: Value, axis: number, rank: number, by: number): void {
    const own = this.#gone.get(v) ?? Array<number>(rank).fill(0);
    own[axis] = item(own, axis) + by;
    this.#gone.set(v, own);
  }
  #share(v: Value, dims: Shape): number {
    const gone = this.#gone.get(v);
    if (!gone) return 1;
    return dims.reduce<number>((p, d, axis) => (typeof d === 'number' ? p * (1 - item(gone, axis) / d) : p), 1);
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
