import { filled, item } from '../base/lists.js';
import { ancestors } from '../ir/ancestors.js';
import type { Graph, Node, Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { fromStart } from '../rewrite/facts.js';
import { removeUnused, replaceOutputs, type Pass } from '../rewrite/pass.js';
import { Probe } from './probe.js';

/** One attention with a cache, as it is spelled. */
interface Attention {
  /** softmax(scores)·values, of which `made` is the product: [batch, heads, sequence, size]. */
  readonly made: Node;
  readonly softmax: Node;
  /** Q·Kᵀ, before it is scaled and masked. */
  readonly scores: Node;
  readonly key: Cached;
  readonly value: Cached;
  readonly heads: number;
  readonly groups: number;
  readonly size: number;
}
/** [batch, heads of keys, tokens, size]: what is kept of earlier tokens, and what this run adds. */
interface Cached {
  readonly concat: Node;
  readonly past: Value;
  readonly now: Value;
}

/**
 * Attention over a cache of keys and values, spelled with MatMul and Softmax, is GroupQueryAttention. What lies between
 * the cache and the products (heads that are repeated), and between the products and Softmax (scale and mask), is not
 * matched but run, on a few numbers: all exporters spell it differently. Positions that a mask hides must be at the
 * end: queries see what comes before them, and as many keys as the mask has ones.
 * source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention
 */
export const fuseGroupQueryAttention: Pass = {
  name: 'fuse-group-query-attention',
  doc: 'Fuses attention over a cache of keys and values; rows must be padded at the end.',
  numerics: 'close',
  needs: 'com.microsoft:GroupQueryAttention',
  async run(ctx) {
    const { graph } = ctx.model;
    const probe = new Probe(ctx);
    const lengths = new Map<Value | undefined, Lengths>();
    let changes = 0;
    for (const softmax of graph.topological().filter((n) => n.op === 'Softmax')) {
      const found = attentionAt(softmax, graph);
      if (!found) continue;
      const known = await meaningOf(found, probe);
      if (typeof known === 'string') {
        ctx.refuse('fuse-group-query-attention', softmax, known);
        continue;
      }
      build(found, known, new GraphBuilder(ctx.model), lengths);
      changes++;
    }
    if (changes) removeUnused(graph, graph.topological().toReversed());
    return { changes };
  },
};

function attentionAt(softmax: Node, graph: Graph): Attention | undefined {
  const made = productBefore(softmax.outputs[0], 4);
  if (!made) return undefined;
  const scores = productBehind(softmax.inputs[0], 8);
  const [value, key] = [cacheBehind(made.inputs[1], graph, 10), cacheBehind(scores?.inputs[1], graph, 10)];
  const sized = scores?.inputs.map((x) => x?.shape?.[1]).find((d) => typeof d === 'number');
  const [heads, groups, size] = [sized, key?.past.shape?.[1], key?.past.shape?.[3]];
  if (!scores || !value || !key || value.past.shape?.[3] !== size || value.past.shape?.[1] !== groups) return undefined;
  if (typeof heads !== 'number' || typeof groups !== 'number' || typeof size !== 'number' || heads % groups)
    return undefined;
  return { made, softmax, scores, key, value, heads, groups, size };
}

/** The product that weights go into; some exporters put something on the way, such as zeros in place of NaN. */
function productBefore(v: Value | undefined, depth: number): Node | undefined {
  for (const { node, index } of depth > 0 ? (v?.uses ?? []) : []) {
    if (node.op === 'MatMul') return index === 0 ? node : undefined;
    const found = productBefore(node.outputs[0], depth - 1);
    if (found) return found;
  }
  return undefined;
}

/** The product of two computed values that a value is made of, a few nodes behind it. */
function productBehind(v: Value | null | undefined, depth: number): Node | undefined {
  const n = v?.producer;
  if (!n || depth === 0) return undefined;
  if (n.op === 'MatMul') return n.inputs.every((x) => x?.producer) ? n : undefined;
  for (const x of n.inputs) {
    const found = x && isFloat(x) ? productBehind(x, depth - 1) : undefined;
    if (found) return found;
  }
  return undefined;
}
const isFloat = ({ dtype }: Value): boolean => dtype === 'float32' || dtype === 'float16';

function cacheBehind(v: Value | null | undefined, graph: Graph, depth: number): Cached | undefined {
  const n = v?.producer;
  if (!n || depth === 0) return undefined;
  const [past, now] = n.inputs;
  const isCache =
    n.op === 'Concat' &&
    n.inputs.length === 2 &&
    past?.shape?.length === 4 &&
    graph.isInput(past) &&
    filled(n.outputs, 0).isGraphOutput &&
    fromStart(n.int('axis', 0), 4) === 2;
  if (isCache && now) return { concat: n, past, now };
  return past && isFloat(past) ? cacheBehind(past, graph, depth - 1) : undefined;
}

interface Meaning {
  readonly scale: number;
  /** Whose ones count the keys of each row; undefined where all are seen. */
  readonly mask: Value | undefined;
}

/** Numbers of queries and keys that are tried. */
const TRIED = [
  [2, 5],
  [3, 3],
] as const;
/** A key that is hidden has a score that is lower by so much. */
const HIDDEN = 1e4;

/** What is computed between cache and products, and between products and Softmax; or why it is something else. */
async function meaningOf(a: Attention, probe: Probe): Promise<Meaning | string> {
  const { heads, groups, size, scores, softmax } = a;
  const wanted = filled(softmax.inputs, 0);
  const inputs = [...ancestorsInputs(wanted, filled(scores.outputs, 0))];
  const mask = inputs.find((v) => /mask/i.test(v.name) && v.shape?.length === 2);
  let scale: number | undefined;
  for (const [queries, keys] of TRIED) {
    const sizes = { queries, keys };
    const repeated = async (cache: Cached, to: Value, turned: boolean): Promise<number | undefined> => {
      const kept = ramp([1, groups, keys, size]);
      const made = await probe.run(to, new Map([[filled(cache.concat.outputs, 0), kept]]), sizes);
      return made && repeatedBy(made, kept.f32(), { heads, groups, keys, size, turned });
    };
    const ofKeys = await repeated(a.key, filled(scores.inputs, 1), true);
    const ofValues = await repeated(a.value, filled(a.made.inputs, 1), false);
    if (ofKeys === undefined) return 'keys are not those of the cache, each for some heads';
    if (ofValues !== 1) return 'values are not those of the cache, each for some heads';
    const given = ramp([1, heads, queries, keys]);
    const used = await probe.run(filled(a.made.inputs, 0), new Map([[filled(softmax.outputs, 0), given]]), sizes);
    if (used?.f32().some((x, i) => x !== item(given.f32(), i)) !== false)
      return 'what Softmax gives is changed before values are weighted';
    for (const hidden of mask ? [0, 1] : [0]) {
      const ones = mask && ([[mask, rowOf(mask, keys, hidden)]] as const);
      const at = new Map<Value, Tensor>([[filled(scores.outputs, 0), given], ...(ones ?? [])]);
      const made = await probe.run(wanted, at, sizes);
      const own = made && scaledBy(made, given.f32(), { heads, queries, keys, hidden });
      if (own === undefined) return 'scores are not scaled and masked so that queries see what comes before them';
      if (scale !== undefined && Math.abs(own * ofKeys - scale) > 1e-5 * Math.abs(scale))
        return 'scores are scaled by what depends on lengths';
      scale ??= own * ofKeys;
    }
  }
  return scale === undefined || scale <= 0 ? 'scores are not scaled by a positive number' : { scale, mask };
}

/** Inputs of the model that a value depends on, but for what `known` is made of. */
function ancestorsInputs(v: Value, known: Value): Set<Value> {
  const found = new Set<Value>();
  const before = new Set(known.producer ? ancestors(known) : []);
  for (const n of ancestors(v))
    if (!before.has(n)) for (const x of n.inputs) if (x && !x.producer && !x.data) found.add(x);
  for (const n of before)
    for (const x of n.inputs) if (x && !x.producer && !x.data && x.shape?.length === 2) found.add(x);
  return found;
}

/** Different small numbers. */
const ramp = (dims: readonly number[]): Tensor =>
  Tensor.f32(
    Float32Array.from({ length: dims.reduce((n, d) => n * d, 1) }, (_, i) => ((i * 37) % 101) / 16 - 3),
    dims,
  );
/** Ones, the last of which are zero. */
function rowOf(mask: Value, keys: number, hidden: number): Tensor {
  const ones = Array.from({ length: keys }, (_, i) => (i < keys - hidden ? 1 : 0));
  return mask.dtype === 'int64' ? Tensor.i64(ones, [1, keys]) : Tensor.codes(mask.dtype ?? 'int32', ones, [1, keys]);
}

/** The factor by which a tensor holds what is kept, each of its heads several times; undefined where it does not. */
function repeatedBy(
  made: Tensor,
  kept: Float32Array,
  o: { heads: number; groups: number; keys: number; size: number; turned: boolean },
): number | undefined {
  const { heads, groups, keys, size, turned } = o;
  if (made.dims.join() !== [1, heads, ...(turned ? [size, keys] : [keys, size])].join()) return undefined;
  const values = made.f32();
  const at = (h: number, t: number, d: number): number =>
    item(values, turned ? (h * size + d) * keys + t : (h * keys + t) * size + d);
  const keptAt = (h: number, t: number, d: number): number =>
    item(kept, (Math.floor((h * groups) / heads) * keys + t) * size + d);
  let factor: number | undefined;
  for (let h = 0; h < heads; h++)
    for (let t = 0; t < keys; t++)
      for (let d = 0; d < size; d++) {
        const [is, was] = [at(h, t, d), keptAt(h, t, d)];
        if (was !== 0) factor ??= is / was;
        if (Math.abs(is - (factor ?? 0) * was) > 1e-4 * Math.abs(was)) return undefined;
      }
  return factor !== undefined && Math.abs(factor - 1) < 1e-6 ? 1 : factor;
}

/** The factor of the scores that queries see: those of keys before them that are not hidden; all others are low. */
function scaledBy(
  made: Tensor,
  scores: Float32Array,
  o: { heads: number; queries: number; keys: number; hidden: number },
): number | undefined {
  const { heads, queries, keys, hidden } = o;
  if (made.dims.join() !== [1, heads, queries, keys].join()) return undefined;
  const values = made.f32();
  const seen = (at: number): boolean => {
    const [q, k] = [Math.floor(at / keys) % queries, at % keys];
    return k <= q + keys - queries && k < keys - hidden;
  };
  let factor: number | undefined;
  for (const [at, score] of scores.entries()) {
    if (!seen(at)) continue;
    if (score !== 0) factor ??= item(values, at) / score;
    if (Math.abs(item(values, at) - (factor ?? 0) * score) > 1e-4 * Math.abs(score)) return undefined;
  }
  const low = scores.every((score, at) => seen(at) || item(values, at) < (factor ?? 0) * score - HIDDEN);
  return low ? factor : undefined;
}

/** Numbers of keys, less one, of each row, and of the longest: int32 [batch] and []. */
interface Lengths {
  readonly rows: Value;
  readonly total: Value;
}

function build(a: Attention, { scale, mask }: Meaning, b: GraphBuilder, all: Map<Value | undefined, Lengths>): void {
  const { heads, groups, size, key, value, made } = a;
  const query = filled(a.scores.inputs, 0);
  const lengths = all.get(mask) ?? lengthsOf(b, query, key.past, mask);
  all.set(mask, lengths);
  const ints = (...v: readonly number[]): Value => b.constant(Tensor.i64(v), 'attention_shape');
  const turned = (v: Value): Value => b.op('Transpose', [v], { attrs: { perm: [0, 2, 1, 3] }, name: 'attention' });
  const flat = (v: Value, n: number): Value =>
    b.op('Reshape', [turned(v), ints(0, 0, n * size)], { name: 'attention' });
  const inputs = [flat(query, heads), flat(key.now, groups), flat(value.now, groups), key.past, value.past];
  const name = made.name || 'attention';
  const node = b.node('GroupQueryAttention', [...inputs, lengths.rows, lengths.total], 3, {
    domain: 'com.microsoft',
    name,
    attrs: { num_heads: heads, kv_num_heads: groups, scale },
  });
  const [y, keys, values] = node.outputs;
  for (const [from, to] of [
    [key.concat, keys],
    [value.concat, values],
  ] as const)
    replaceOutputs(b.graph, from, [filled([to], 0)]);
  const apart = b.op('Reshape', [filled([y], 0), ints(0, 0, heads, size)], { name: 'attention' });
  replaceOutputs(b.graph, made, [turned(apart)]);
}

function lengthsOf(b: GraphBuilder, query: Value, past: Value, mask: Value | undefined): Lengths {
  const int = (v: Value, dtype: 'int32' | 'int64'): Value =>
    v.dtype === dtype ? v : b.op('Cast', [v], { attrs: { to: dtype === 'int32' ? 6 : 7 }, name: 'lengths' });
  const size = (v: Value, axis: number): Value =>
    b.op('Gather', [b.op('Shape', [v], { name: 'lengths' }), b.constant(Tensor.i64([axis], []), 'axis')], {
      name: 'lengths',
    });
  const one = b.constant(Tensor.i64([1], []), 'one');
  const total = mask ? size(mask, 1) : b.op('Add', [size(past, 2), size(query, 2)], { name: 'lengths' });
  const less = (v: Value): Value => int(b.op('Sub', [v, one], { name: 'lengths' }), 'int32');
  if (mask) {
    const attrs = { keepdims: 0 };
    const ones = b.overAxes('ReduceSum', int(mask, 'int64'), [1], { attrs, name: 'lengths' });
    return { rows: less(ones), total: int(total, 'int32') };
  }
  const rows = b.op('Reshape', [size(query, 0), b.constant(Tensor.i64([1]), 'shape')], { name: 'lengths' });
  return { rows: b.op('Expand', [less(total), rows], { name: 'lengths' }), total: int(total, 'int32') };
}
