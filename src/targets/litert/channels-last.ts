/**
 * Layout: nodes whose kernels want channels last get them so, between Transposes that then cancel. What is left of
 * these is what no choice of layouts avoids (passes/sink-transposes.ts).
 */
import { Node, Value, type Graph } from '../../ir/graph.js';
import { nameMaker } from '../../ir/model.js';
import { inverse, permuteShape, type Permutation } from '../../ops/permutation.js';
import { eliminateDead } from '../../passes/eliminate-dead.js';
import { eliminateTranspose } from '../../passes/eliminate-no-ops.js';
import { eliminateTransposePair } from '../../passes/eliminate-pairs.js';
import { mergeTransposes } from '../../passes/merge-views.js';
import { sinkTransposes } from '../../passes/sink-transposes.js';
import { runPasses, type Evaluate } from '../../rewrite/pass.js';
import type { SizedCopy } from '../shared/layers.js';

/** Domain of nodes of a copy whose first input and output have channels last; their weights stay as they are. */
export const CHANNELS_LAST = 'channels-last';

/** Ops that have kernels for channels last only, and the number of axes from which on that matters. */
const SPATIAL: ReadonlySet<string> = new Set([
  'Conv',
  'ConvTranspose',
  'MaxPool',
  'AveragePool',
  'GlobalAveragePool',
  'GlobalMaxPool',
  'Resize',
  'Upsample',
  'DepthToSpace',
  'SpaceToDepth',
  'BatchNormalization',
  'InstanceNormalization',
  'GroupNormalization',
]);
export const isSpatial = (n: Node): boolean => n.domain === '' && SPATIAL.has(n.op);

/** [N, C, a, b, …] → [N, a, b, …, C]. */
const toLast = (rank: number): Permutation => [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];

/**
 * Changes the layout of a copy, and keeps what its parts are copies of. Inputs and outputs of four axes have channels
 * last as soon as some spatial node works on four axes; others keep their order.
 */
export async function layChannelsLast(copy: SizedCopy, evaluate: Evaluate): Promise<void> {
  const { model } = copy;
  const { graph } = model;
  const freeName = nameMaker(graph);
  const spatial = graph.topological().filter((n) => isSpatial(n) && (n.inputs[0]?.shape?.length ?? 0) > 2);
  if (!spatial.length) return;
  const images = spatial.some((n) => n.inputs[0]?.shape?.length === 4);
  for (const n of graph.nodes) n.name = freeName(n.name || n.outputs[0]?.name || n.op);
  for (const n of spatial) wrap(n, copy, freeName);
  if (images) {
    for (const v of [...graph.inputs]) if (!v.data && v.shape?.length === 4) turnInput(v, copy, freeName);
    graph.outputs.forEach((v, i) => {
      if (v.shape?.length === 4) turnOutput(v, i, copy, freeName);
    });
  }
  const before = new Map([...graph.nodes].map((n) => [n.name, factsOf(n, copy)]));
  const passes = [eliminateTransposePair, mergeTransposes, eliminateTranspose, sinkTransposes, eliminateDead];
  await runPasses(model, passes, { evaluate });
  for (const n of graph.topological()) {
    const was = before.get(n.name); // nodes in another layout are new, and called as before
    if (was?.node) copy.nodes.set(n, was.node);
    if (was?.limits) copy.clamps.set(n, was.limits);
    n.outputs.forEach((o, i) => {
      const x = n.inputs[0];
      const origin = was?.origins[i] ?? (n.op === 'Transpose' && x ? copy.values.get(x) : undefined);
      if (origin) copy.values.set(o, origin);
    });
  }
}

interface NodeFacts {
  readonly node: Node | undefined;
  readonly limits: readonly [number, number] | undefined;
  readonly origins: readonly (Value | undefined)[];
}
const factsOf = (n: Node, { nodes, clamps, values }: SizedCopy): NodeFacts => ({
  node: nodes.get(n),
  limits: clamps.get(n),
  origins: n.outputs.map((o) => values.get(o)),
});

/** Puts Transposes around a node, and the node into the domain of {@link CHANNELS_LAST}. */
function wrap(n: Node, copy: SizedCopy, freeName: (base: string) => string): void {
  const { graph } = copy.model;
  const x = n.inputs[0];
  const [y] = n.outputs;
  if (!x?.shape || !y?.shape) return; // told where layers are read
  const perm = toLast(x.shape.length);
  const name = n.name;
  const before = transpose(graph, x, perm, freeName(`${name}_last`));
  const made = new Node(
    n.op,
    n.inputs,
    n.outputs.map((o, i) => (o.name ? freeName(`${name}_made${i || ''}`) : '')),
    CHANNELS_LAST,
  );
  made.setInput(0, before);
  for (const [key, a] of n.attrs) made.attrs.set(key, a);
  graph.add(made);
  const limits = copy.clamps.get(n);
  const origins = n.outputs.map((o) => copy.values.get(o));
  const node = copy.nodes.get(n);
  n.outputs.forEach((o, i) => {
    const to = made.outputs[i];
    if (!to?.name || !o.shape) return;
    to.dtype = o.dtype;
    to.shape = permuteShape(o.shape, perm);
    const after = transpose(graph, to, inverse(perm), freeName(`${name}_first`));
    const was = o.name;
    const places = [...graph.outputIndices(o)];
    graph.replaceUses(o, after);
    for (const at of places) graph.setOutput(at, after);
    o.name = freeName(`${was}_old`);
    after.name = was;
    for (const v of [to, after]) {
      const origin = origins[i];
      if (origin) copy.values.set(v, origin);
    }
  });
  graph.remove(n);
  made.name = name;
  if (node) copy.nodes.set(made, node);
  if (limits) copy.clamps.set(made, limits);
}

function transpose(graph: Graph, x: Value, perm: Permutation, name: string): Value {
  const t = new Node('Transpose', [x], [name]);
  t.name = name;
  t.setInts('perm', perm);
  graph.add(t);
  const y = t.outputs[0] ?? new Value('');
  y.dtype = x.dtype;
  if (x.shape) y.shape = permuteShape(x.shape, perm);
  return y;
}

function turnInput(v: Value, copy: SizedCopy, freeName: (base: string) => string): void {
  const { graph } = copy.model;
  const perm = toLast(4);
  if (v.shape) v.shape = permuteShape(v.shape, perm);
  const readers = [...v.uses];
  const places = [...graph.outputIndices(v)];
  const first = transpose(graph, v, inverse(perm), freeName(`${v.name}_first`));
  for (const u of readers) u.node.setInput(u.index, first);
  for (const at of places) graph.setOutput(at, first);
  const origin = copy.values.get(v);
  if (origin) copy.values.set(first, origin);
}

function turnOutput(v: Value, at: number, copy: SizedCopy, freeName: (base: string) => string): void {
  const { graph } = copy.model;
  const name = v.name;
  const last = transpose(graph, v, toLast(4), freeName(`${name}_last`));
  graph.setOutput(at, last);
  const origin = copy.values.get(v);
  if (origin) copy.values.set(last, origin);
  v.name = freeName(`${name}_first`);
  last.name = name;
}
