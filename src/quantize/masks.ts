/**
 * Masks: numbers far below all others that only say "not this one". In a range of codes they leave no room for the
 * others.
 */
import { largestOf } from '../calibrate/largest.js';
import { dataOf } from '../ir/known.js';
import type { Node, Value } from '../ir/graph.js';
import { specOf } from '../ops/index.js';
import { fillValue, onlyGreatest, carriesInfinity, carriesMask, maskedOperands, saturates } from '../ops/magnitude.js';

/** What softmax and its kin read matters down to about this much below the greatest: e^−16 is less than 1e-7. */
const FELT = 16;
/** In what anything else reads, nothing but a mask or a sentinel is this large. */
const SENTINEL = 1e4;

/**
 * Nodes that put a mask on what they read, and why they should stay float: a constant operand reaches far down or is
 * infinite, or the
 * operand is an input of the model and the result goes to a softmax. What reads the result stays float by that as well.
 */
export function maskNodes(order: readonly Node[], isInput: ReadonlySet<Value>): Map<Node, string> {
  const found = new Map<Node, string>();
  const felt = leadingToSaturation(order);
  for (const n of order) {
    for (const i of maskedOperands(n)) {
      const v = n.inputs[i] && origin(n.inputs[i]); // checked before the comma
      if (!v) continue;
      if (isInput.has(v)) {
        if (felt.has(n)) found.set(n, `it masks with '${v.name}' what a softmax reads`);
        continue;
      }
      if (!v.isInitializer || v.dtype !== 'float32') continue;
      const most = largestOf(dataOf(v)).all; // an initializer has data
      if (most < (felt.has(n) ? FELT : SENTINEL)) continue;
      found.set(
        n,
        `it masks with '${v.name}', which reaches ${most === Infinity ? 'infinity' : Number(most.toPrecision(3))}`,
      );
    }
  }
  return found;
}

/**
 * Values that may hold infinities though every sample is sound: those of constants of the model, and of masks that are
 * inputs.
 */
export function infiniteValues(order: readonly Node[], isInput: ReadonlySet<Value>): Set<Value> {
  const found = new Set<Value>();
  const felt = leadingToSaturation(order);
  const masks = new Set(order.flatMap((n) => (felt.has(n) ? maskedOperands(n).flatMap((i) => n.inputs[i] ?? []) : [])));
  for (const n of order) {
    for (const v of n.inputs) {
      if (!v) continue;
      const constant = v.isInitializer && !isInput.has(v);
      const holds = constant
        ? v.dtype === 'float32' && largestOf(dataOf(v)).all === Infinity
        : isInput.has(origin(v)) && masks.has(v); // an initializer has data
      if (holds) found.add(v).add(origin(v));
    }
    if (!carriesInfinity(n)) continue;
    if (n.inputs.some((v) => v && found.has(v)) || holdsInfinity(n)) for (const y of n.outputs) found.add(y);
  }
  return found;
}

/** A Pad that is filled with infinity by its attribute. */
const holdsInfinity = ({ attrs }: Node): boolean => {
  const a = attrs.get('value');
  return a?.type === 'float' && !Number.isFinite(a.value);
};

/** Nodes whose result reaches softmax and its kin by what moves, scales, adds and chooses. */
function leadingToSaturation(order: readonly Node[]): Set<Node> {
  const found = new Set<Node>();
  for (const n of [...order].reverse()) {
    const goesOn = n.outputs.some((y) => [...y.uses].some((u) => saturates(u.node) || found.has(u.node)));
    if (goesOn && carriesMask(n)) found.add(n);
  }
  return found;
}

/** Where a value was before it was moved, copied or cut. */
function origin(v: Value): Value {
  let at = v;
  for (let p = at.producer; p && specOf(p)?.quant.role === 'passthrough' && p.inputs[0]; p = at.producer)
    at = p.inputs[0];
  return at;
}

/**
 * What the border of a Pad on codes must be able to hold: a number, undefined for nothing, or why it cannot be on
 * codes.
 */
export function borderOf(n: Node): number | undefined | string {
  const fill = fillValue(n);
  if (!fill) return undefined;
  const y = n.outputs[0];
  // The lowest code is as good as any number below it, where there is something else in each window.
  if (fill < 0 && y && !y.isGraphOutput && [...y.uses].every((u) => onlyGreatest(u.node))) return undefined;
  if (!(Math.abs(fill) < SENTINEL))
    return `it pads with ${Number(fill.toPrecision(4))}, which would take the whole range`;
  const maker = n.inputs[0] && specOf(origin(n.inputs[0]).producer ?? n)?.quant;
  const range = maker?.role === 'arithmetic' ? maker.range : undefined;
  if (range && (fill < range[0] || fill > range[1]))
    return `it pads with ${fill} what lies between ${range.join(' and ')}`;
  return fill;
}
