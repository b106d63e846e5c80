/** From the loss back to what it is differentiated by, one node after the other. */
import { fail, QuantError } from '../base/errors.js';
import { encodeTensor } from '../ir/encode.js';
import { isFloat } from '../ir/dtype.js';
import { label, type Node, type Value } from '../ir/graph.js';
import { nameMaker, type Model } from '../ir/model.js';
import type { GradientFacet } from '../ops/facets.js';
import { specOf } from '../ops/index.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { checkShape, contexts } from './context.js';
import { nameOutputs } from './outputs.js';
import type { Prepared } from './prepare.js';

type Facet = GradientFacet | 'zero' | 'unsupported';

/** What a node's gradient facet says once it is settled whether steps are estimated. */
function facetOf(node: Node, estimates: boolean): Facet {
  const facet = specOf(node)?.gradient ?? 'unsupported';
  if (typeof facet === 'string') return facet;
  if (typeof facet === 'function') return { rule: facet };
  return facet.estimate && !estimates ? 'zero' : facet;
}

/**
 * The gradient of the loss by each value of `wrt`; nodes are added to the model. Throws GRADIENT_UNSUPPORTED, before it
 * adds any, for every node on the way without a rule, and GRADIENT_INVALID where no way leads from the loss to a value.
 */
export function backward(prepared: Prepared, estimates: boolean): Value[] {
  const { model, ints, loss, wrt, constants } = prepared;
  const { graph } = model;
  const order = graph.topological();
  const active = activeValues(order, new Set(wrt), new Set(constants), estimates);
  const path = pathTo(loss, order, active);
  refuseUnknown(path, estimates);
  widen(model, path, estimates);

  const builder = new GraphBuilder(model);
  const parts = new Map<Value, Value[]>();
  const sums = new Map<Value, Value>();
  const gradientOf = (v: Value): Value | undefined => {
    const known = sums.get(v);
    if (known) return known;
    const [first, ...rest] = parts.get(v) ?? [];
    if (!first) return undefined;
    const total = rest.length ? builder.op('Sum', [first, ...rest], { name: `${v.name}_gradient` }) : first;
    sums.set(v, total);
    return total;
  };
  const contextOf = contexts({ builder, ints, gradientOf, needs: (v) => active.has(v) });
  const dims = (loss.shape ?? []).map(() => 1);
  parts.set(loss, [builder.constant(encodeTensor(loss.dtype ?? 'float32', dims, [1]), 'gradient_of_loss')]);
  for (const node of path.reverse()) {
    const facet = facetOf(node, estimates);
    if (typeof facet === 'string' || !node.outputs.some((y) => gradientOf(y))) continue;
    facet.rule(contextOf(node)).forEach((gradient, i) => {
      const x = node.inputs[i];
      if (!gradient || !x || !active.has(x)) return;
      checkShape(node, x, gradient);
      parts.set(x, [...(parts.get(x) ?? []), gradient]);
    });
  }
  return wrt.map((v) => gradientOf(v) ?? unreached(v, loss, order, estimates));
}

/** `wrt`, and what changes with it but for constants. Integers do so only where what made them is estimated. */
function activeValues(
  order: readonly Node[],
  wrt: ReadonlySet<Value>,
  constants: ReadonlySet<Value>,
  estimates: boolean,
): ReadonlySet<Value> {
  const active = new Set(wrt);
  for (const node of order) {
    const facet = facetOf(node, estimates);
    if (facet === 'zero') continue;
    if (![...node.inputs, ...node.captures()].some((v) => v && active.has(v))) continue;
    const estimated = typeof facet === 'object' && facet.estimate === true;
    for (const y of node.outputs) if (!constants.has(y) && (estimated || !y.dtype || isFloat(y.dtype))) active.add(y);
  }
  return active;
}

/** The nodes between `active` values and the loss, in order. */
function pathTo(loss: Value, order: readonly Node[], active: ReadonlySet<Value>): Node[] {
  const wanted = new Set<Value>(active.has(loss) ? [loss] : []);
  const path: Node[] = [];
  for (const node of [...order].reverse()) {
    if (!node.outputs.some((y) => wanted.has(y))) continue;
    const from = [...node.inputs, ...node.captures()].filter((v): v is Value => !!v && active.has(v));
    if (!from.length) continue; // it is differentiated by, or steps
    path.push(node);
    for (const v of from) wanted.add(v);
  }
  return path.reverse();
}

function refuseUnknown(path: readonly Node[], estimates: boolean): void {
  const errors = path
    .filter((n) => facetOf(n, estimates) === 'unsupported')
    .map((n) => {
      const op = n.domain ? `${n.domain}.${n.op}` : n.op;
      return new QuantError('GRADIENT_UNSUPPORTED', `no gradient is known through '${label(n)}' (${op})`, {
        where: { node: label(n) },
        hint: 'docs/ops.md lists the operators that have one',
      });
    });
  const [first, ...more] = errors;
  if (first) throw new QuantError(first.code, first.message, { where: first.where, hint: first.hint, more });
}

/** Gives nodes the optional results that their rules read. */
function widen(model: Model, path: readonly Node[], estimates: boolean): void {
  const freeName = nameMaker(model.graph);
  for (const node of path) {
    const facet = facetOf(node, estimates);
    if (typeof facet === 'object') nameOutputs(model, node, facet.outputs ?? 1, freeName);
  }
}

/** Why no gradient came to a value. */
function unreached(v: Value, loss: Value, order: readonly Node[], estimates: boolean): never {
  const behind = new Set<Value>([v]);
  let step: Node | undefined;
  for (const node of order) {
    if (!node.inputs.some((x) => x && behind.has(x))) continue;
    if (facetOf(node, estimates) === 'zero') step ??= node;
    for (const y of node.outputs) behind.add(y);
  }
  return fail(
    'GRADIENT_INVALID',
    `the loss '${loss.name}' has no gradient by '${v.name}'`,
    { tensor: v.name },
    step && behind.has(loss)
      ? `'${label(step)}' (${step.op}) steps: its gradient is zero; rounding: 'straight-through' estimates that of ` +
          'rounding'
      : `'${loss.name}' does not depend on it`,
  );
}
