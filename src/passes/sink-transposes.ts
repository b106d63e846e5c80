import { named } from '../base/lists.js';
import { dtypeBits } from '../ir/dtype.js';
import { label, type Graph, type Node, type Value } from '../ir/graph.js';
import { allGraphs, nameMaker, type Model } from '../ir/model.js';
import {
  canPermute,
  inverse,
  isIdentity,
  keepsOrder,
  permuteShape,
  samePermutation,
  type Permutation,
} from '../ops/permutation.js';
import { follow, type FollowContext, type Followed } from '../ops/permute.js';
import { sizeOf } from '../ops/spec.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { permutationOf } from '../rewrite/facts.js';
import { Network } from '../rewrite/min-cut.js';
import { removeUnused, replaceOutputs, type Pass } from '../rewrite/pass.js';

/**
 * Chooses for each op whose axes may lie in any order (ops/permute.ts) one of the two layouts between which the
 * Transposes around it convert, such that the fewest Transposes are left, and among those choices the fewest elements
 * move. The cheapest choice is a minimum cut: ops with axes of fixed meaning, graph inputs and graph outputs are on the
 * side on which they are, and every tensor that is needed in the layout in which it is not made costs one Transpose. A
 * model converted from channels last keeps one Transpose at its inputs, and one at outputs that have channels. Nothing
 * changes unless that leaves fewer Transposes, or as many of fewer elements.
 */
export const sinkTransposes = {
  name: 'sink-transposes',
  doc: 'Moves Transposes through other nodes to where they cancel.',
  numerics: 'close',
  run(ctx) {
    let changes = 0;
    let names: ((base: string) => string) | undefined; // collecting all names is dear
    const freeName = (base: string): string => (names ??= nameMaker(ctx.model.graph))(base);
    for (const graph of allGraphs(ctx.model.graph)) {
      if (!graph.hasOp('Transpose')) continue;
      const done = new Set<Node>();
      for (const seed of graph.topological().filter(isTranspose)) {
        if (seed.graph !== graph || done.has(seed)) continue;
        const region = growRegion(seed, graph, ctx.model);
        for (const t of region.transposes) done.add(t);
        const flipped = region.members.size ? cheapest(region, graph) : [];
        if (flipped.length) {
          apply(region, flipped, new GraphBuilder(ctx.model, graph, freeName));
          changes += flipped.length;
        } else if (region.reason) ctx.refuse('sink-transposes', seed, region.reason);
      }
    }
    return { changes };
  },
} satisfies Pass;

type Layout = 0 | 1;
/** How a value lies, and the permutation that gives it the other layout. */
interface Lie {
  readonly layout: Layout;
  readonly perm: Permutation;
}
interface Region {
  readonly lies: Map<Value, Lie>;
  /** Nodes that can compute in either layout, with their form in the other. */
  readonly members: Map<Node, { readonly layout: Layout; readonly form: Followed }>;
  /** Transposes between the two layouts. */
  readonly transposes: Set<Node>;
  /** Why a node at the border cannot follow. */
  reason: string;
}

const isTranspose = (n: Node): boolean => n.op === 'Transpose' && n.domain === '';
/**
 * The Transpose by `perm` among the users of a value in this graph: the first, so that two that are both graph outputs
 * stay two.
 */
function transposeOf(v: Value, perm: Permutation, graph: Graph): Node | undefined {
  for (const { node } of v.uses)
    if (node.graph === graph && isTranspose(node) && samePermutation(permutationOf(node) ?? [], perm)) return node;
  return undefined;
}
/** The value of which `v` is the Transpose into v's layout. */
function sourceOf(v: Value, { lies }: Region, graph: Graph): Value | undefined {
  const p = v.producer;
  const x = p?.graph === graph && isTranspose(p) ? p.inputs[0] : undefined;
  const lie = x && lies.get(x);
  return lie && lie.layout !== lies.get(v)?.layout && transposeOf(x, lie.perm, graph) === p ? x : undefined;
}

/** Everything around a Transpose that could lie as on its one side or as on its other. */
function growRegion(seed: Node, graph: Graph, model: Model): Region {
  const region: Region = { lies: new Map(), members: new Map(), transposes: new Set(), reason: '' };
  const { lies, members } = region;
  const ctx: FollowContext = {
    opset: model.opsets.get('') ?? 1,
    constant: (v) => (v?.isInitializer && v.data && !model.graph.isInput(v) && canPermute(v.data) ? v.data : undefined),
  };
  const queue: Value[] = [];
  const fits = (v: Value | null | undefined, lie: Lie): boolean => {
    if (v?.shape?.length !== lie.perm.length || !v.dtype || dtypeBits(v.dtype) < 8) return false;
    const known = lies.get(v);
    return !known || (known.layout === lie.layout && samePermutation(known.perm, lie.perm));
  };
  const assign = (v: Value, lie: Lie): void => {
    if (!lies.has(v)) {
      lies.set(v, lie);
      if (!isIdentity(lie.perm)) queue.push(v);
    }
  };
  const cross = (t: Node, to: Value, { layout, perm }: Lie): void => {
    const lie: Lie = { layout: layout ? 0 : 1, perm: inverse(perm) };
    if (!fits(to, lie)) return;
    assign(to, lie);
    region.transposes.add(t);
  };
  const join = (n: Node, lie: Lie, output?: Value): void => {
    if (members.has(n)) return;
    const form = follow(n, lie.perm, ctx);
    if (typeof form === 'string') region.reason ||= `'${label(n)}' cannot compute in the other layout: ${form}`;
    if (typeof form !== 'object' || (!form.data.length && !form.constants?.size)) return;
    if (output && !samePermutation(form.outputs[n.outputs.indexOf(output)] ?? [], lie.perm)) return;
    const made = n.outputs
      .map((o, i): [Value, Lie] => [o, { layout: lie.layout, perm: form.outputs[i] ?? [] }])
      .filter(([o]) => o.name);
    if (!form.data.every((i) => fits(n.inputs[i], lie)) || !made.every(([o, l]) => fits(o, l))) return;
    members.set(n, { layout: lie.layout, form });
    for (const i of form.data) {
      const x = n.inputs[i];
      if (x) assign(x, lie);
    }
    for (const [o, l] of made) assign(o, l);
  };
  const [x, y, perm] = [seed.inputs[0], seed.outputs[0], permutationOf(seed)];
  if (x && y && perm && !isIdentity(perm) && fits(x, { layout: 0, perm }) && transposeOf(x, perm, graph) === seed) {
    assign(x, { layout: 0, perm });
    cross(seed, y, { layout: 0, perm });
  }
  for (const v of queue) {
    // the queue grows while it is read
    const lie = lies.get(v);
    if (!lie) continue;
    const p = v.producer?.graph === graph ? v.producer : undefined;
    const before = p && isTranspose(p) ? p.inputs[0] : undefined;
    if (p && before) {
      if (
        samePermutation(permutationOf(p) ?? [], inverse(lie.perm)) &&
        transposeOf(before, inverse(lie.perm), graph) === p
      )
        cross(p, before, lie);
    } else if (p) join(p, lie, v);
    const away = transposeOf(v, lie.perm, graph);
    if (away?.outputs[0]) cross(away, away.outputs[0], lie);
    for (const { node } of v.uses) if (node.graph === graph && !isTranspose(node)) join(node, lie);
  }
  return region;
}

/** One Transpose more counts more than any number of elements. */
const TRANSPOSE = 2 ** 40;
const ELEMENT = 8;
const NEVER = 2 ** 51;
const VIEWS = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);

/**
 * What it costs to have a tensor in both layouts. One that keeps the order of elements behind a reshape becomes part of
 * it.
 */
function costOf(v: Value, perm: Permutation): number {
  if (isIdentity(perm)) return 0;
  if (!keepsOrder(v.shape ?? [], perm)) return TRANSPOSE + ELEMENT * sizeOf(v.shape);
  return v.producer && VIEWS.has(v.producer.op) && v.uses.size === 1 ? TRANSPOSE / 8 : TRANSPOSE;
}

/** The members that should change their layout; none where that does not pay. */
function cheapest(region: Region, graph: Graph): Node[] {
  const { lies, members } = region;
  const network = new Network();
  const ids = new Map<Node, number>();
  for (const [n, { layout }] of members) {
    const id = network.node();
    ids.set(n, id);
    // Of equally good choices the one with fewer changes.
    if (layout === 0) network.edge(Network.SOURCE, id, 1);
    else network.edge(id, Network.SINK, 1);
  }
  const place = (n: Node | undefined, layout: Layout): number =>
    (n && ids.get(n)) ?? (layout ? Network.SINK : Network.SOURCE);
  let now = 0;
  for (const [root, { layout, perm }] of lies) {
    if (sourceOf(root, region, graph)) continue; // counted with what it is the Transpose of
    const cost = costOf(root, perm);
    if (!cost) continue;
    const made = place(root.producer, layout);
    const wanted = new Map<number, Layout>();
    for (const v of withCopies(root, region, graph)) {
      const own = lies.get(v)?.layout ?? layout;
      for (const { node } of v.uses) if (!isCopy(node, region, graph)) wanted.set(place(node, own), own);
      if (v.isGraphOutput) wanted.set(place(undefined, own), own);
    }
    if ([...wanted.values()].some((l) => l !== layout)) now += cost;
    const [a, b] = [network.node(), network.node()];
    network.edge(made, a, cost);
    network.edge(b, made, cost);
    for (const w of wanted.keys()) {
      network.edge(a, w, NEVER);
      network.edge(w, b, NEVER);
    }
  }
  if (now < TRANSPOSE) return [];
  const { cost, source } = network.cut();
  return cost < now
    ? [...members].filter(([n, { layout }]) => source.has(ids.get(n) ?? 0) !== (layout === 0)).map(([n]) => n)
    : [];
}

/** A value and what Transposes make of it in the other layout and back. */
function withCopies(root: Value, region: Region, graph: Graph): Value[] {
  const found = [root];
  for (const v of found)
    for (const { node } of v.uses)
      if (node.outputs[0] && sourceOf(node.outputs[0], region, graph) === v) found.push(node.outputs[0]);
  return found;
}
const isCopy = (n: Node, region: Region, graph: Graph): boolean =>
  isTranspose(n) && n.outputs[0] !== undefined && sourceOf(n.outputs[0], region, graph) !== undefined;

/** Builds the nodes in their other layout, with Transposes where neighbours keep theirs, and removes the old ones. */
function apply(region: Region, flipped: readonly Node[], b: GraphBuilder): void {
  const graph = b.graph;
  const wanted = new Set(flipped);
  const order = graph.topological().filter((n) => wanted.has(n));
  const moved = new Map<Value, Value>();
  const permOf = (v: Value): Permutation => region.lies.get(v)?.perm ?? [];
  const other = (v: Value): Value => {
    const found =
      moved.get(v) ??
      sourceOf(v, region, graph) ??
      transposeOf(v, permOf(v), graph)?.outputs[0] ??
      b.op('Transpose', [v], { attrs: { perm: permOf(v) }, name: `${v.name}_transposed` });
    moved.set(v, found);
    return found;
  };
  const made = order.map((n) => {
    const { form } = named(region.members, n); // flipped nodes are members
    const inputs = Array.from(
      { length: Math.max(n.inputs.length, ...[...(form.constants?.keys() ?? [])].map((i) => i + 1)) },
      (_, i) => {
        const [x, c] = [n.inputs[i] ?? null, form.constants?.get(i)];
        if (c)
          return x?.data && c.dims.join() === x.data.dims.join() && Buffer.compare(c.bytes(), x.data.bytes()) === 0
            ? x
            : b.constant(c, x?.name ?? `${label(n)}_axes`);
        return x && form.data.includes(i) ? other(x) : x;
      },
    );
    const node = b.node(n.op, inputs, n.outputs.length, {
      attrs: { ...Object.fromEntries(n.attrs), ...form.attrs },
      name: n.name,
    });
    n.outputs.forEach((o, i) => {
      const to = node.outputs[i];
      if (!to) return;
      to.dtype = o.dtype;
      if (o.shape) to.shape = permuteShape(o.shape, permOf(o));
      moved.set(o, to);
    });
    return [n, node] as const;
  });
  for (const [n, node] of made.reverse()) {
    // users first, so that what still uses an output are nodes that stay
    const names = n.outputs.map((o) => (o.isGraphOutput ? '' : o.name));
    n.outputs.forEach((o, i) => {
      const to = node.outputs[i];
      if (to && o.name) replaceValue(o, to, permOf(o), b);
      else if (to) to.name = '';
    });
    node.name = n.name;
    graph.remove(n);
    node.outputs.forEach((o, i) => {
      const name = names[i];
      if (name && !o.isGraphOutput) o.name = name;
    });
  }
  for (const t of region.transposes) {
    const back = t.graph === graph ? t.outputs[0] : undefined;
    const away = back && sourceOf(back, region, graph);
    const x = away && sourceOf(away, region, graph);
    if (back && x) replaceOutputs(graph, t, [x]); // there and back: what the costs are reckoned with
  }
  removeUnused(graph, region.transposes);
}

/** Gives the users of `old` what they need of `made`, which is `old` in its other layout. */
function replaceValue(old: Value, made: Value, perm: Permutation, b: GraphBuilder): void {
  const graph = b.graph;
  const away = transposeOf(old, perm, graph);
  if (away) {
    replaceOutputs(graph, away, [made]);
    removeUnused(graph, [away]);
  }
  if (!old.uses.size && !old.isGraphOutput) return;
  const producer = old.producer!; // a member made it
  const back = isIdentity(perm)
    ? made
    : b.op('Transpose', [made], { attrs: { perm: inverse(perm) }, name: `${old.name}_transposed` });
  replaceOutputs(
    graph,
    producer,
    producer.outputs.map((o) => (o === old ? back : o)),
  );
}
