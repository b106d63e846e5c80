/**
 * Channels that belong together, found by joining: ids for the channels along axes, and what is known of each class.
 */
import { item } from '../base/lists.js';
import type { Value } from '../ir/graph.js';
import { shapeOf } from '../ir/known.js';
import type { AxisOf } from '../ops/facets.js';

/** Where a channel is. */
export interface Place extends AxisOf {
  readonly channel: number;
}

/**
 * Disjoint sets over the channels of the axes that were visited. What is known of a channel is kept apart until
 * {@link joined} puts it together. source: union-find with path compression, Tarjan 1975
 */
export class ChannelClasses<P> {
  readonly #base = new Map<Value, Map<number, number>>();
  readonly #parent: number[] = [];
  readonly #own: P[] = [];
  readonly #waiting: AxisOf[] = [];
  readonly #part: (place: Place) => P;

  /** `part` makes what is known of a channel at first. */
  constructor(part: (place: Place) => P) {
    this.#part = part;
  }

  /** Id of channel 0 along an axis, which the others follow; undefined where their number is not known. */
  visit({ value, axis }: AxisOf): number | undefined {
    const axes = this.#base.get(value) ?? new Map<number, number>();
    this.#base.set(value, axes);
    const known = axes.get(axis);
    if (known !== undefined) return known;
    const size = value.shape?.[axis];
    if (typeof size !== 'number') return undefined;
    const base = this.#parent.length;
    axes.set(axis, base);
    for (let channel = 0; channel < size; channel++) {
      this.#parent.push(base + channel);
      this.#own.push(this.#part({ value, axis, channel }));
    }
    this.#waiting.push({ value, axis });
    return base;
  }
  /** An axis that was visited and not yet given out, the last first. */
  next = (): AxisOf | undefined => this.#waiting.pop();
  /** What is known of one channel. */
  of = (id: number): P => item(this.#own, id);
  /** Of an axis that was visited. */
  size = ({ value, axis }: AxisOf): number => Number(shapeOf(value)[axis]);

  /** The class of `b` joins that of `a`. */
  join(a: number, b: number): void {
    this.#parent[this.#find(b)] = this.#find(a);
  }
  #find(id: number): number {
    let root = id;
    while (item(this.#parent, root) !== root) root = item(this.#parent, root);
    for (let at = id; at !== root;) {
      const up = item(this.#parent, at);
      this.#parent[at] = root;
      at = up;
    }
    return root;
  }

  /** What is known of each class: `take` adds what is known of a further channel to it. */
  joined(take: (whole: P, part: P) => void): P[] {
    const classes = new Map<number, P>();
    this.#own.forEach((part, id) => {
      const root = this.#find(id);
      const whole = classes.get(root);
      if (whole === undefined) classes.set(root, part);
      else take(whole, part);
    });
    return [...classes.values()];
  }
}
