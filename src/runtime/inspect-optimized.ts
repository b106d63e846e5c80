/**
 * What onnxruntime really runs: read from the graph that it saves after its own optimizations, on this machine.
 * Node names change on the way (seen with 1.30): fused QDQ groups keep the float node's name; layout changes append
 * `_token_N` or `_nchwc`, fusions `/MatMulAddFusion` and the like; a dynamic product keeps only the output's name.
 */
import { item } from '../base/lists.js';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from '../base/environment-errors.js';
import type { Graph, Node, Value } from '../ir/graph.js';
import { label } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { loadModel } from '../onnx/files.js';
import { dataInputs, specOf } from '../ops/index.js';
import { isDequantize, isQuantize } from '../ops/kinds.js';
import { Session } from './session.js';

/** A node of the float model, as the quantizer saw it. */
export interface PlannedNode {
  readonly name: string;
  readonly macs: number;
  readonly outputs: readonly string[];
  /** Names of its constant inputs: all there is to go by where the model has no node names. */
  readonly constants?: readonly string[];
  /** Values made of its output alone by what has no weight: a kernel fused of them is named after one of them. */
  readonly followers?: readonly string[];
  /** A conversion beside a node that was planned float is wanted, so it does not count as unfused. Default: integer. */
  readonly planned?: 'integer' | 'float';
}
/** The kernel of one planned node; undefined where the optimized graph does not tell. */
export interface KernelOf {
  readonly name: string;
  readonly kernel: string | undefined;
  readonly ranInteger: boolean | undefined;
}
export interface OptimizedGraph {
  /**
   * MACs in integer kernels ÷ all MACs; nodes whose kernel cannot be told count as float. 0 where there are no MACs.
   */
  readonly integerMacsShare: number;
  /** How often each op occurs, with its domain unless that is the standard one; subgraphs included. */
  readonly ops: Readonly<Record<string, number>>;
  /**
   * Quantize and dequantize nodes that fusion should have taken in: beside a float compute op, or around an op on
   * codes.
   */
  readonly unfused: readonly string[];
  /** Float ops with multiply-accumulates, by node name. */
  readonly floatCompute: readonly string[];
  /** In the order of the planned nodes that have MACs. */
  readonly kernels: readonly KernelOf[];
}

/**
 * Ops of onnxruntime that multiply and accumulate integers. Source: onnxruntime docs/ContribOperators.md and
 * OperatorKernels.md.
 */
const INTEGER = new Set([
  'QLinearConv',
  'ConvInteger',
  'QLinearConvTranspose',
  'QGemm',
  'QLinearMatMul',
  'MatMulInteger',
  'MatMulInteger16',
  'MatMulIntegerToFloat',
  'DynamicQuantizeMatMul',
  'DynamicQuantizeLSTM',
  'QAttention',
  'QOrderedMatMul',
]);
/** Ops that multiply and accumulate floats, weights of 4 or 8 bits that are widened first included. */
const FLOAT = new Set([
  'Conv',
  'FusedConv',
  'NhwcFusedConv',
  'ConvTranspose',
  'Gemm',
  'FusedGemm',
  'GemmFastGelu',
  'MatMul',
  'FusedMatMul',
  'FusedMatMulActivation',
  'TransposeMatMul',
  'MatMulNBits',
  'MatMulBnb4',
  'Einsum',
  'LSTM',
  'GRU',
  'RNN',
  'Attention',
  'MultiHeadAttention',
  'GroupQueryAttention',
  'PackedAttention',
  'DecoderMaskedMultiHeadAttention',
]);

/** Opens the model, reads the graph that onnxruntime made of it and removes it again. Throws MODEL_RUNTIME. */
export async function inspectOptimized(modelFile: string, nodes: readonly PlannedNode[]): Promise<OptimizedGraph> {
  const dir = temporaryFolder();
  try {
    const file = path.join(dir, 'optimized.onnx');
    // Weights go to a file of their own: only the graph is read, and it stays below protobuf's 2 GiB.
    const config = {
      'session.optimized_model_external_initializers_file_name': 'weights.bin',
      'session.optimized_model_external_initializers_min_size_in_bytes': '64',
    };
    const session = await Session.open(modelFile, { saveOptimizedTo: file, config });
    await session.close();
    return describeOptimized(loadModel(file, { repeatedInitializers: true }).graph, nodes);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The facts of an optimized graph that is already loaded. */
export function describeOptimized(graph: Graph, nodes: readonly PlannedNode[]): OptimizedGraph {
  const all = [...allGraphs(graph)].flatMap((g) => [...g.nodes]);
  const compute = all.filter(isCompute);
  const withMacs = nodes.filter((n) => n.macs > 0);
  const kernels = matchKernels(compute, withMacs);
  const plannedOf = new Map([...kernels].map(([planned, node]) => [node, planned]));
  const floats = compute.filter((n) => FLOAT.has(n.op));
  const ops: Record<string, number> = {};
  for (const n of all) ops[opName(n)] = (ops[opName(n)] ?? 0) + 1;
  // Where every compute op is of one kind, a node without a match is of that kind too.
  const otherwise =
    compute.length === 0
      ? undefined
      : floats.length === 0
        ? true
        : floats.length === compute.length
          ? false
          : undefined;
  let integerMacs = 0;
  let macs = 0;
  const facts = withMacs.map((planned) => {
    const node = kernels.get(planned);
    const ranInteger = node ? INTEGER.has(node.op) : otherwise;
    macs += planned.macs;
    if (ranInteger) integerMacs += planned.macs;
    return { name: planned.name, kernel: node && opName(node), ranInteger };
  });
  const wantedFloat = (n: Node): boolean => FLOAT.has(n.op) && plannedOf.get(n)?.planned !== 'float';
  return {
    integerMacsShare: macs ? integerMacs / macs : 0,
    ops: Object.fromEntries(Object.entries(ops).sort(([a], [b]) => (a < b ? -1 : 1))),
    unfused: all.filter((n) => isUnfused(n, wantedFloat)).map(label),
    floatCompute: floats.map(label),
    kernels: facts,
  };
}

/** Whether an op of an optimized graph multiplies and accumulates. */
export const isCompute = (n: Node): boolean => INTEGER.has(n.op) || FLOAT.has(n.op);

export const opName = (n: Node): string => (n.domain ? `${n.domain}.${n.op}` : n.op);

/** By the names of nodes and outputs, then by the constants that they read, then by what follows them. */
export function matchKernels<N extends PlannedNode>(compute: readonly Node[], nodes: readonly N[]): Map<N, Node> {
  const found = new Map<N, Node>();
  const byName = new Map<string, N>();
  for (const n of nodes) for (const o of n.outputs) byName.set(o, n);
  for (const n of nodes) byName.set(n.name, n);
  const namesOf = (n: Node): string[] => [n.name, ...n.outputs.map((o) => o.name)];
  matchBy(compute, namesOf, byName, found);
  const byConstant = ofOne(nodes, (n) => n.constants);
  matchBy(compute, (n) => n.inputs.flatMap((v) => (v?.isInitializer ? [v.name] : [])), byConstant, found);
  // of two branches that a sum joins, one is found by then, and the other was fused with the sum
  const left = nodes.filter((n) => !found.has(n));
  const byFollower = ofOne(left, (n) => n.followers);
  matchBy(compute, namesOf, byFollower, found);
  return found;
}

/** The nodes by names that one of them alone has. */
function ofOne<N>(nodes: readonly N[], namesOf: (n: N) => readonly string[] | undefined): Map<string, N> {
  const by = new Map<string, N>();
  const shared = new Set<string>();
  for (const n of nodes)
    for (const name of namesOf(n) ?? []) {
      if (by.has(name)) shared.add(name);
      by.set(name, n);
    }
  for (const name of shared) by.delete(name);
  return by;
}

/**
 * Adds to `found`. Exact names first, then with one more suffix of the runtime taken off, so that `conv_1` prefers the
 * node `conv_1` to `conv`.
 */
function matchBy<N extends PlannedNode>(
  compute: readonly Node[],
  namesOf: (n: Node) => readonly string[],
  wanted: ReadonlyMap<string, N>,
  found: Map<N, Node>,
): void {
  const taken = new Set(found.values());
  const keys = compute.map((n) => namesOf(n).map(stems));
  const depth = Math.max(0, ...keys.flat().map((k) => k.length));
  for (let d = 0; d < depth; d++) {
    compute.forEach((node, i) => {
      if (taken.has(node)) return;
      for (const stem of item(keys, i)) {
        // one list per compute node
        const key = stem[d];
        const planned = key ? wanted.get(key) : undefined;
        if (!planned || found.has(planned)) continue;
        found.set(planned, node);
        taken.add(node);
        return;
      }
    });
  }
}

const SUFFIX = /(?:_nchwc|_nhwc|_token_\d+|_quant|_quantized|_(?:Quantize|Dequantize)Linear_Output|_output|_\d+)$/;
/**
 * Passes of the runtime append a few; names that only look like it, such as `a_1_1_1…`, are not taken apart to the
 * end.
 */
const MOST_STEMS = 64;

/** The name, then the name with its last suffix taken off, and so on. */
export function stems(name: string): string[] {
  const out = [name.replace(/^fused /, '')];
  while (out.length < MOST_STEMS) {
    const last = item(out, out.length - 1); // never empty
    const next = withoutFusion(last) ?? last.replace(SUFFIX, '');
    if (next === last || !next) break;
    out.push(next);
  }
  return out;
}

/** The name without a last part that names a fusion (`/…Fusion…`); undefined where it has none. */
function withoutFusion(name: string): string | undefined {
  const end = name.endsWith('/') ? name.length - 1 : name.length;
  const slash = name.lastIndexOf('/', end - 1);
  const part = slash < 0 ? '' : name.slice(slash + 1, end);
  return part.includes('Fusion') && /^\w*$/.test(part) ? name.slice(0, slash) : undefined;
}

/**
 * A conversion at a border between float and integer parts is normal; one that a fused kernel would have swallowed is
 * not.
 */
function isUnfused(n: Node, wantedFloat: (n: Node) => boolean): boolean {
  if (isDequantize(n)) return usersOf(n.outputs[0]).some((u) => wantedFloat(u) || isQuantize(u) || onCodes(u));
  if (!isQuantize(n)) return false;
  const from = n.inputs[0]?.producer;
  return from !== undefined && (wantedFloat(from) || isDequantize(from) || onCodes(from));
}

const usersOf = (v: Value | undefined): Node[] => [...(v?.uses ?? [])].map((u) => u.node);

/**
 * An op that could work on codes, but stands between dequantize nodes on all of its data inputs and quantize nodes
 * after it.
 */
function onCodes(n: Node): boolean {
  const quant = specOf(n)?.quant;
  if (quant?.role !== 'passthrough' && quant?.role !== 'arithmetic' && quant?.role !== 'clamp') return false;
  // interpolation, for one, computes in float
  if (quant.role === 'passthrough' && quant.when && quant.when(n) !== true) return false;
  const data = dataInputs(n)
    .map((i) => n.inputs[i])
    .filter((v) => v);
  const users = usersOf(n.outputs[0]);
  return (
    data.length > 0 &&
    data.every((v) => v?.producer && isDequantize(v.producer)) &&
    users.length > 0 &&
    users.every(isQuantize)
  );
}
