/** The hands of gradient rules: adds what they build to the model. */
import { fail, invariant } from '../base/errors.js';
import { label, type Dim, type Node, type Value } from '../ir/graph.js';
import type { GradientContext } from '../ops/facets.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import { constantInts, isStatic } from '../rewrite/facts.js';

/** What the walk knows when it comes to a node. */
export interface Known {
  readonly builder: GraphBuilder;
  readonly ints: ReadonlyMap<Value, readonly Dim[]>;
  gradientOf(value: Value): Value | undefined;
  needs(value: Value): boolean;
}

const SMALL = 64;

/** Makes contexts that share small constants. */
export function contexts({ builder, ints, gradientOf, needs }: Known): (node: Node) => GradientContext {
  const made = new Map<string, Value>();
  return (node) => {
    const refuse = (why: string): never => refuseNode(node, why);
    const input = (i: number): Value =>
      node.inputs[i] ?? fail('GRAPH_INVALID', `'${label(node)}' (${node.op}) lacks input ${i}`, { node: label(node) });
    return {
      node,
      opset: builder.opset,
      input,
      refuse,
      gradient: (i) => {
        const y = node.outputs[i];
        return y && gradientOf(y);
      },
      need: (i) => {
        const x = node.inputs[i];
        return !!x && needs(x);
      },
      sizes: (value) =>
        isStatic(value.shape)
          ? value.shape
          : refuse(`the shape of '${value.name}' is not known: [${value.shape?.join(', ') ?? ''}]`),
      ints: (i) => {
        const known = constantInts(input(i)) ?? ints.get(input(i));
        return known?.every((d): d is number => typeof d === 'number')
          ? known
          : refuse(`its input ${i} ('${input(i).name}') is computed`);
      },
      add: (op, inputs, attrs = {}) => builder.op(op, inputs, { attrs, name: `${label(node)}_gradient` }),
      addAll: (op, inputs, outputs, attrs = {}) =>
        builder.node(op, inputs, outputs, { attrs, name: `${label(node)}_gradient` }).outputs,
      constant: (data) => {
        const key = data.size <= SMALL ? `${data.dtype} ${data.dims.join()}: ${data.bytes().join()}` : undefined;
        const known = key === undefined ? undefined : made.get(key);
        const value = known ?? builder.constant(data, `${label(node)}_gradient_constant`);
        if (key !== undefined) made.set(key, value);
        return value;
      },
    };
  };
}

export function refuseNode(node: Node, why: string): never {
  return fail(
    'GRADIENT_UNSUPPORTED',
    `no gradient goes through '${label(node)}' (${node.op}): ${why}`,
    { node: label(node) },
    'docs/ops.md lists the operators that have one; give all sizes by `shapes` or `batch`',
  );
}

/** A rule that gives a gradient of another shape than its tensor has is our mistake. */
export function checkShape(node: Node, x: Value, gradient: Value): void {
  if (!isStatic(x.shape) || !isStatic(gradient.shape)) return;
  invariant(
    x.shape.join() === gradient.shape.join(),
    `the gradient of ${node.op} by '${x.name}' has shape [${gradient.shape.join()}], not [${x.shape.join()}]`,
  );
}
