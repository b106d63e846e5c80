import { fail } from '../base/errors.js';

/** What the walk needs of a node; nodes of graphs are such. */
interface Ordered<N> {
  readonly op: string;
  readonly name: string;
  readonly outputs: readonly { readonly name: string }[];
  readonly inputs: readonly ({ readonly producer: N | undefined } | null)[];
  readonly graph: unknown;
  readonly mayNest: boolean;
  subgraphs(): readonly unknown[];
  captures(): readonly { readonly producer: N | undefined }[];
}

/**
 * The nodes of a graph as a post-order walk over them gives them: what a node reads, captures included, comes before
 * it. Throws GRAPH_CYCLE.
 */
export function postOrder<N extends Ordered<N>>(graph: unknown, nodes: ReadonlySet<N>): N[] {
  const state = new Map<N, 'open' | 'done'>();
  const order: N[] = [];
  const dependencies = (n: N): N[] => {
    const found: N[] = [];
    const see = (v: { readonly producer: N | undefined } | null): void => {
      const p = v?.producer;
      if (p && p.graph === graph && state.get(p) !== 'done') found.push(p);
    };
    n.inputs.forEach(see);
    if (n.mayNest) n.captures().forEach(see);
    return found;
  };
  /** Whether everything that a node reads has its place: then it comes next, as nearly always in files. */
  const isNext = (n: N): boolean => {
    if (n.mayNest) return false;
    for (const v of n.inputs) {
      const p = v?.producer;
      if (p && p.graph === graph && state.get(p) !== 'done') return false;
    }
    return true;
  };
  for (const root of nodes) {
    if (state.has(root)) continue;
    if (isNext(root)) {
      state.set(root, 'done');
      order.push(root);
      continue;
    }
    state.set(root, 'open');
    const stack: { node: N; rest: N[]; next: number }[] = [{ node: root, rest: dependencies(root), next: 0 }];
    while (stack.length) {
      const top = stack[stack.length - 1]!; // the loop condition says it exists
      const p = top.rest[top.next++];
      if (p === undefined) {
        state.set(top.node, 'done');
        order.push(top.node);
        stack.pop();
        continue;
      }
      if (state.get(p) === 'done') continue;
      if (state.get(p) === 'open')
        fail('GRAPH_CYCLE', `'${nameOf(top.node)}' and '${nameOf(p)}' depend on each other`, { node: nameOf(p) });
      state.set(p, 'open');
      stack.push({ node: p, rest: dependencies(p), next: 0 });
    }
  }
  return order;
}

/** What to call a node in messages: its name, or its first output's. */
export const nameOf = (node: Pick<Ordered<unknown>, 'op' | 'name' | 'outputs'>): string =>
  node.name || node.outputs.find((o) => o.name)?.name || node.op;
