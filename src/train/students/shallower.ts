/** A student with fewer residual blocks. */
import { fail } from '../../base/errors.js';
import { item } from '../../base/lists.js';
import type { Graph, Node, Value } from '../../ir/graph.js';
import type { Model } from '../../ir/model.js';
import { inferShapes } from '../../ops/infer.js';
import { isAddition } from '../../ops/kinds.js';
import { removeUnused, removeUnusedInitializers } from '../../rewrite/pass.js';

/** y = x + f(x), where f reads nothing else that is computed. */
export interface Block {
  readonly x: Value;
  readonly sum: Node;
  readonly body: readonly Node[];
}

/**
 * Leaves a share of the residual blocks that keep the shape, in place, spread evenly; of the others x goes on as it is.
 * Gives how many of how many went. Throws MODEL_UNSUPPORTED for a model without such blocks.
 */
export function shallower(model: Model, share: number): { readonly removed: number; readonly of: number } {
  inferShapes(model);
  const { graph } = model;
  const blocks = residualBlocks(graph);
  if (!blocks.length)
    fail(
      'MODEL_UNSUPPORTED',
      'the model has no residual block x + f(x) that could be left out',
      {},
      'give a student of your own, or a thinner one by `width`',
    );
  const keep = Math.round(share * blocks.length);
  const of = blocks.length;
  const gone = blocks.filter((_, i) => Math.floor(((i + 1) * keep) / of) === Math.floor((i * keep) / of));
  leaveOut(graph, gone);
  return { removed: gone.length, of };
}

/** In place: of each block, x goes on as it is. */
export function leaveOut(graph: Graph, gone: readonly Block[]): void {
  // What enters a block may be the sum of one that went before it.
  const instead = new Map<Value, Value>();
  for (const { x, sum } of gone) {
    const y = item(sum.outputs, 0);
    const from = instead.get(x) ?? x;
    instead.set(y, from);
    graph.replaceUses(y, from);
  }
  removeUnused(graph, [...graph.topological()].reverse());
  removeUnusedInitializers(graph);
}

/** In the order of the model; of blocks within blocks, the outer ones. */
export function residualBlocks(graph: Graph): Block[] {
  const order = graph.topological();
  const found = order.flatMap((sum): Block[] => {
    if (!isAddition(sum)) return [];
    const y = sum.outputs[0];
    if (!y || y.isGraphOutput) return [];
    for (const [x, other] of [
      [sum.inputs[0], sum.inputs[1]],
      [sum.inputs[1], sum.inputs[0]],
    ]) {
      if (!x || !other || x.isInitializer || other.isInitializer) continue;
      if (!x.shape || !y.shape || x.shape.join() !== y.shape.join()) continue;
      const body = bodyBetween(x, other, sum);
      if (body?.length) return [{ x, sum, body }];
    }
    return [];
  });
  const inner = new Set(found.flatMap((b) => b.body));
  return found.filter((b) => !inner.has(b.sum));
}

/** The nodes from x to what is added to it; undefined where they read, or are read by, anything else. */
function bodyBetween(x: Value, end: Value, sum: Node): Node[] | undefined {
  const body = new Set<Node>();
  const waiting = [end];
  for (let v = waiting.pop(); v; v = waiting.pop()) {
    if (v === x || v.isInitializer) continue;
    const node = v.producer;
    if (!node || v.isGraphOutput) return undefined;
    if (body.has(node)) continue;
    body.add(node);
    if (node.subgraphs().length) return undefined;
    for (const input of node.inputs) if (input) waiting.push(input);
  }
  const reads = [...body].some((n) => n.inputs.includes(x));
  const alone = [...body].every((n) =>
    n.outputs.every((y) => [...y.uses].every((u) => body.has(u.node) || u.node === sum)),
  );
  return reads && alone ? [...body] : undefined;
}
