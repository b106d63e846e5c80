/**
 * Time per node, from onnxruntime's own profiler:
 * https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html. It writes a JSON file of trace events;
 * those of category Node and name `<node>_kernel_time` hold µs in `dur`.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from '../base/environment-errors.js';
import { z } from 'zod';
import { fail } from '../base/errors.js';
import type { Feed } from '../ir/feed.js';
import type { Graph } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import { loadModel } from '../onnx/files.js';
import type { RuntimeFacts } from '../record/index.js';
import { isCompute, matchKernels, opName, type PlannedNode } from './inspect-optimized.js';
import { openModel } from './open.js';
import { Session, type SessionOptions } from './session.js';

/** A node of the float model with its op. */
export type ProfiledNode = PlannedNode & { readonly op: string };
export interface ProfileOptions {
  /** The float model after clean-up and before the rewrite: its node names are those that `nodes` has. */
  readonly float: Model;
  readonly quantized: string | Model;
  readonly nodes: readonly ProfiledNode[];
  /** Inputs of one run. */
  readonly feed: Feed;
  /** Default 30. */
  readonly runs?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal | undefined;
}
type Profile = NonNullable<RuntimeFacts['profile']>;

/** Runs that are not counted: the first ones allocate. */
const WARMUP = 5;
const traceSpec = z.array(
  z.object({
    cat: z.string(),
    name: z.string(),
    ts: z.number(),
    dur: z.number().optional(),
    args: z.object({ op_name: z.string().optional() }).optional(),
  }),
);
/** Ops that onnxruntime puts between kernels: never the work of a float node. */
const CONVERSIONS = new Set([
  'QuantizeLinear',
  'DequantizeLinear',
  'DynamicQuantizeLinear',
  'ReorderInput',
  'ReorderOutput',
  'Cast',
  'Transpose',
]);

/**
 * Median time of each kernel of both models, run in turn, and which node of the float model it belongs to. A node
 * without a time of its own was fused into another, or folded. The profiler itself costs about a µs a kernel, so
 * compare times with each other, not with latencies. Throws MODEL_RUNTIME, also where onnxruntime wrote no profile, and
 * the signal's reason.
 */
export async function profilePair(o: ProfileOptions): Promise<Profile> {
  const dir = temporaryFolder();
  const runs = o.runs ?? 30;
  const { nodes } = o;
  try {
    const float = await openProfiled(o.float, path.join(dir, 'float'), o.threads ?? 1);
    let quantized: Session | undefined;
    try {
      quantized = await openProfiled(o.quantized, path.join(dir, 'quantized'), o.threads ?? 1);
      for (let i = 0; i < WARMUP + runs; i++) {
        o.signal?.throwIfAborted();
        await float.run(o.feed);
        await quantized.run(o.feed);
      }
      float.endProfiling();
      quantized.endProfiling();
    } finally {
      await float.close();
      await quantized?.close();
    }
    return joinProfiles(readSide(dir, 'float', runs, nodes), readSide(dir, 'quantized', runs, nodes), runs, nodes);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function openProfiled(model: string | Model, prefix: string, threads: number): Promise<Session> {
  // The graph that runs is saved too: kernels are found in it by name, and matched to float nodes by what it says of
  // them.
  const config = {
    'session.optimized_model_external_initializers_file_name': `${path.basename(prefix)}.bin`,
    'session.optimized_model_external_initializers_min_size_in_bytes': '64',
  };
  const options: SessionOptions = { threads, profileTo: prefix, saveOptimizedTo: `${prefix}.onnx`, config };
  return typeof model === 'string' ? Session.open(model, options) : openModel(model, options);
}

/** Median µs of a run by kernel name. */
export interface Times {
  readonly byKernel: ReadonlyMap<string, { readonly op: string; readonly us: number }>;
  /** Kernels of float nodes, by the node's name. */ readonly kernelOf: ReadonlyMap<string, string>;
}

function readSide(dir: string, side: string, runs: number, nodes: readonly ProfiledNode[]): Times {
  const file = readdirSync(dir).find((f) => f.startsWith(`${side}_`) && f.endsWith('.json'));
  if (!file) fail('MODEL_RUNTIME', `onnxruntime wrote no profile of the ${side} model`);
  return {
    byKernel: readTrace(readFileSync(path.join(dir, file), 'utf8'), runs),
    kernelOf: kernelsOf(loadModel(path.join(dir, `${side}.onnx`), { repeatedInitializers: true }).graph, nodes),
  };
}

/**
 * Median µs over the last `runs` runs of a trace, by kernel name; a kernel that runs several times in a run (in a Loop,
 * say) counts with their sum. One interrupted run in thirty would triple a mean. Throws MODEL_RUNTIME for another form
 * of trace.
 */
export function readTrace(json: string, runs: number): Map<string, { op: string; us: number }> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    fail('MODEL_RUNTIME', 'the profile that onnxruntime wrote is not JSON', {}, undefined, cause);
  }
  const trace = traceSpec.safeParse(value);
  if (!trace.success)
    fail(
      'MODEL_RUNTIME',
      `the profile that onnxruntime wrote has an unknown form: ${trace.error.issues[0]?.message ?? ''}`,
    );
  const starts = trace.data
    .filter((e) => e.cat === 'Session' && e.name === 'model_run')
    .map((e) => e.ts)
    .sort((a, b) => a - b);
  if (starts.length < runs)
    fail('MODEL_RUNTIME', `the profile that onnxruntime wrote tells of ${starts.length} runs, not of ${runs}`);
  const counted = starts.slice(starts.length - runs);
  const times = new Map<string, { op: string; perRun: Float64Array }>();
  for (const e of trace.data) {
    const run = runAt(counted, e.ts);
    if (e.cat !== 'Node' || !e.name.endsWith('_kernel_time') || run < 0) continue;
    const name = e.name.slice(0, -'_kernel_time'.length);
    const known = times.get(name) ?? { op: e.args?.op_name ?? '', perRun: new Float64Array(runs) };
    known.perRun[run]! += e.dur ?? 0;
    times.set(name, known);
  }
  return new Map([...times].map(([name, { op, perRun }]) => [name, { op, us: median(perRun) }]));
}

/** Which of the ascending starts an event at `ts` follows; -1 before the first. */
function runAt(starts: readonly number[], ts: number): number {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle]! <= ts) low = middle + 1;
    else high = middle;
  } // within the list
  return low - 1;
}

function median(values: Float64Array): number {
  const sorted = values.slice().sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2; // there is at least one run
}

/** The kernel of each float node: products first, then whatever else the names tell. */
function kernelsOf(graph: Graph, nodes: readonly ProfiledNode[]): Map<string, string> {
  const all = [...allGraphs(graph)].flatMap((g) => [...g.nodes]).filter((n) => !CONVERSIONS.has(n.op));
  const products = matchKernels(
    all.filter(isCompute),
    nodes.filter((n) => n.macs > 0),
  );
  const taken = new Set(products.values());
  const others = matchKernels(
    all.filter((n) => !taken.has(n) && !isCompute(n)),
    nodes.filter((n) => !products.has(n)),
  );
  return new Map([...products, ...others].map(([node, kernel]) => [node.name, kernel.name || opName(kernel)]));
}

/** Puts the times of both models beside each other. */
export function joinProfiles(float: Times, quantized: Times, runs: number, nodes: readonly ProfiledNode[]): Profile {
  const sum = (t: Times): number => [...t.byKernel.values()].reduce((n, k) => n + k.us, 0);
  const used = { float: new Set<string>(), quantized: new Set<string>() };
  const timeOf = (t: Times, side: 'float' | 'quantized', node: ProfiledNode): number | undefined => {
    const kernel = t.kernelOf.get(node.name);
    const time = kernel === undefined ? undefined : t.byKernel.get(kernel);
    if (kernel === undefined || !time || used[side].has(kernel)) return undefined;
    used[side].add(kernel);
    return time.us;
  };
  const layers = nodes.flatMap((node) => {
    const floatUs = timeOf(float, 'float', node);
    const quantizedUs = timeOf(quantized, 'quantized', node);
    return floatUs === undefined && quantizedUs === undefined
      ? []
      : [
          {
            node: node.name,
            op: node.op,
            ...(floatUs !== undefined ? { floatUs } : {}),
            ...(quantizedUs !== undefined ? { quantizedUs } : {}),
          },
        ];
  });
  const rest = (t: Times, side: 'float' | 'quantized') =>
    [...t.byKernel]
      .filter(([name]) => !used[side].has(name))
      .map(([node, { op, us }]) => ({ node, op, us }))
      .sort((a, b) => b.us - a.us);
  return {
    runs,
    floatUs: sum(float),
    quantizedUs: sum(quantized),
    layers,
    rest: { float: rest(float, 'float'), quantized: rest(quantized, 'quantized') },
  };
}
