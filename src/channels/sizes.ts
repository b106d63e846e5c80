/** Sizes that do not depend on the sizes of inputs, also where shape arithmetic hides them. */
import { QuantError } from '../base/errors.js';
import { cloneModel } from '../ir/clone.js';
import type { Dim, Shape, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { forgetInferred, inferShapes } from '../ops/infer.js';

/**
 * Learns shapes anew with numbers for all open sizes of inputs, twice: where both give the same number, the size is
 * that whatever the inputs are. The heads of [batch, tokens, -1, 32] are found so. Only shapes of values change.
 */
export function learnSizes(model: Model): void {
  const results = [...model.graph.nodes].flatMap((n) => n.outputs);
  if (!results.some((v) => !v.shape?.every((d) => typeof d === 'number'))) return;
  const [one, other] = [shapesWith(model, FIRST), shapesWith(model, SECOND)];
  if (!one || !other) return;
  for (const v of results) {
    const [a, b] = [one.get(v.name), other.get(v.name)];
    if (!v.name || !a || a.length !== b?.length) continue;
    const old: Shape = v.shape?.length === a.length ? v.shape : a.map(() => null);
    v.shape = a.map((d, axis): Dim => {
      const was = old[axis] ?? null;
      return typeof was !== 'number' && typeof d === 'number' && d === b[axis] ? d : was;
    });
  }
}
/** Sizes that have nothing in common, with one another or with those of layers. */
const FIRST = [13, 29, 43, 61, 79, 101];
const SECOND = [17, 31, 47, 67, 83, 103];

function shapesWith(given: Model, sizes: readonly number[]): ReadonlyMap<string, Shape> | undefined {
  const { model } = cloneModel(given);
  const known = new Map<string, number>();
  let taken = 0;
  const next = (): number => sizes[taken++ % sizes.length] ?? 1;
  const settle = (d: Dim): number => {
    if (typeof d === 'number') return d;
    if (d === null) return next();
    const size = known.get(d) ?? next();
    known.set(d, size);
    return size;
  };
  const shapes = new Map(model.graph.inputs.flatMap((v) => (v.shape ? [[v.name, v.shape.map(settle)]] : [])));
  forgetInferred(model);
  for (const v of model.graph.outputs) if (v.producer) v.shape = undefined;
  try {
    inferShapes(model, shapes);
  } catch (error) {
    if (error instanceof QuantError) return undefined; // a model that takes no such sizes
    throw error;
  }
  const results: Value[] = [...model.graph.nodes].flatMap((n) => n.outputs);
  return new Map(results.flatMap((v) => (v.shape ? [[v.name, v.shape]] : [])));
}
