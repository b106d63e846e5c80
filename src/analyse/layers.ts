/** Error of each tensor of the quantized model against the float model: where in the graph it arises. */
import { field, item, named } from '../base/lists.js';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { OnEvent } from '../base/events.js';
import { realLength, rowsOf, takesAnyBatch } from '../calibrate/rows.js';
import { sliceRows } from '../evaluate/tensors.js';
import type { TensorPlace } from '../formats/types.js';
import { cloneModel } from '../ir/clone.js';
import { isFloat } from '../ir/dtype.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { uniqueLabels } from '../ir/labels.js';
import { specOf } from '../ops/index.js';
import { forgetInferred, inferShapes } from '../ops/infer.js';
import { isQuantize } from '../ops/kinds.js';
import type { LayerErrors } from '../record/index.js';
import { openModel } from '../runtime/open.js';
import { repeatable, type Batches } from './samples.js';
import { stepsOf, withTaps } from './taps.js';
import { TensorMeter } from './tensor-error.js';

export interface LayersOptions {
  /** The float model after clean-up, from before the rewrite: a clone of it is enough. */
  readonly float: Model;
  /** The same model after the rewrite. Neither is changed. */
  readonly quantized: Model;
  /** Where the rewrite put the float model's tensors. */
  readonly tensors: ReadonlyMap<string, TensorPlace>;
  /** A fresh pass over samples in an order that mixes classes. */
  readonly batches: Batches;
  /**
   * How many samples to use, default 64; where most tensors are large, at most 8, for each then shows thousands of
   * places.
   */
  readonly samples?: number;
  readonly threads?: number;
  /** Bytes of tapped tensors of one batch; tensors beyond it are measured in further passes. Default 64 MiB. */
  readonly maxMemoryBytes?: number;
  /** Gets `progress` of stage `layers` after each batch, and diagnostics. */
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A tensor to compare: its value in the float and in the quantized model. */
interface Probe {
  readonly name: string;
  readonly node: Node;
  readonly float: Value;
  readonly place: TensorPlace;
  readonly axis: number | undefined;
}
/** The same with what is taken of it. */
interface Sampled extends Probe {
  readonly steps: readonly number[] | undefined;
  readonly elements: number;
}

/** Guess for axes whose size is not known even with the shapes of the first batch. */
const GUESSED_SIZE = 128;
/** Samples of models whose tensors are large: a run takes long, and has much to look at. */
const LARGE_SAMPLES = 8;
/** Of one side; with the copies that both runtimes and the reading of codes make, about five times as much. */
const MAX_MEMORY_BYTES = 64 * 2 ** 20;

/**
 * SQNR and cosine of every result of a node with work of its own, in graph order, named as in the float model; that of
 * a fused clamp counts as the result of the node before it.
 *
 * Quantized tensors are tapped as codes and dequantized here, so onnxruntime still fuses the groups around them and
 * runs its integer kernels; float tensors are tapped where no quantizer takes them. Of large tensors a grid of elements
 * is taken, which the runtime cuts out itself (taps.ts): one pass then sees all tensors of a detector. Sums are float64
 * and memory does not grow with the data. Rows that only fill a batch do not count. NaN and infinity are left out, with
 * a diagnostic LAYER_NON_FINITE for the first tensor that holds them in the quantized model only.
 *
 * Throws DATA_MISSING without a sample, MODEL_RUNTIME, what reading data throws, and the signal's reason.
 */
export async function measureLayers(o: LayersOptions): Promise<LayerErrors> {
  const probes = probesOf(o.float, o.quantized, o.tensors);
  const shrink = takesAnyBatch(o.float);
  const asked = o.samples ?? 64;
  const first = repeatable(o.batches, 1, { shrink, signal: o.signal });
  const names = uniqueLabels(o.float.graph.topological());
  const taken = sampled(probes, await shapesByName(o.float, first));
  const large = 2 * taken.filter((p) => p.steps).length > taken.length;
  const samples = large ? Math.min(asked, LARGE_SAMPLES) : asked;
  const batches = repeatable(o.batches, samples, { shrink, signal: o.signal });
  const groups = groupsOf(taken, o.maxMemoryBytes ?? MAX_MEMORY_BYTES);
  const tensors: LayerErrors['tensors'][number][] = [];
  let told = false;
  let seen = 0;
  for (const [g, group] of groups.entries()) {
    const { meters, samples: of } = await measureGroup(o, group, batches, {
      total: samples,
      note: `tensors ${g + 1} of ${groups.length}`,
    });
    seen = of;
    for (const [i, probe] of group.entries()) {
      const facts = item(meters, i).facts(); // one meter a probe
      if (!facts) continue;
      const { nonFinite, ...error } = facts;
      // every node of the graph has a name
      tensors.push({ name: probe.name, node: named(names, probe.node), op: probe.node.op, ...error });
      if (told || !nonFinite || nonFinite.quantized <= nonFinite.float) continue;
      told = true;
      o.onEvent?.({
        type: 'diagnostic',
        diagnostic: {
          severity: 'warning',
          code: 'LAYER_NON_FINITE',
          message:
            `'${probe.name}' is the first tensor that holds NaN or infinity (${nonFinite.quantized} of them) in ` +
            'the quantized model but not in the float model',
          where: { node: named(names, probe.node), tensor: probe.name },
        },
      });
    }
  }
  return { samples: seen, tensors };
}

/** Results of products, of arithmetic and of ops that stay float, where both models have them. */
function probesOf(float: Model, quantized: Model, tensors: ReadonlyMap<string, TensorPlace>): Probe[] {
  const present = new Set<Value>(quantized.graph.inputs);
  const byName = new Map<string, Value>();
  for (const n of quantized.graph.nodes)
    for (const y of n.outputs) {
      present.add(y);
      byName.set(y.name, y);
    }
  const probes: Probe[] = [];
  for (const n of float.graph.topological()) {
    const spec = specOf(n);
    const role = spec?.quant.role;
    if (!spec || role === 'passthrough' || (role === 'float' && spec.cost === 'free')) continue;
    for (const y of n.outputs) {
      if (!y.name || !y.dtype || !isFloat(y.dtype) || onlyClamped(y)) continue;
      const place = placeOf(y, tensors, byName, present);
      const owner = role === 'clamp' ? ownerOf(n) : n;
      if (place) probes.push({ name: y.name, node: owner, float: y, place, axis: channelAxis(owner, y) });
    }
  }
  return probes;
}

function placeOf(
  y: Value,
  tensors: ReadonlyMap<string, TensorPlace>,
  byName: ReadonlyMap<string, Value>,
  present: ReadonlySet<Value>,
): TensorPlace | undefined {
  const moved = tensors.get(y.name);
  if (moved) return present.has(moved.value) ? moved : undefined;
  const same = byName.get(y.name);
  // Codes of a cache have no numbers here. Reading a float value that a quantizer takes would keep onnxruntime from
  // fusing the group.
  if (!same || (same.dtype !== undefined && !isFloat(same.dtype))) return undefined;
  return ![...same.uses].some((u) => isQuantize(u.node)) ? { value: same } : undefined;
}

const isClamp = (n: Node): boolean => specOf(n)?.quant.role === 'clamp';
/** Whether the value is there for one clamp only, whose result is then looked at. */
const onlyClamped = (y: Value): boolean => {
  const [use] = y.uses;
  return y.uses.size === 1 && !y.isGraphOutput && use !== undefined && isClamp(use.node);
};
/** The node before a clamp that is alone in using it. */
function ownerOf(clamp: Node): Node {
  const x = clamp.inputs[0];
  const from = x?.producer;
  const role = from && specOf(from)?.quant.role;
  return from && onlyClamped(x) && (role === 'compute' || role === 'arithmetic') ? from : clamp;
}

/**
 * Axis 1 of images, the last axis of products with matrices and of rows of features; undefined where nothing says which
 * axis is the channels'.
 */
function channelAxis(n: Node, y: Value): number | undefined {
  const rank = y.shape?.length;
  if (rank === undefined) return undefined;
  const role = specOf(n)?.quant;
  if (role?.role === 'compute')
    return (n.inputs[role.weight]?.shape?.length ?? 0) > 2 && n.inputs[role.weight]?.isInitializer ? 1 : rank - 1;
  return rank === 2 || rank > 3 ? 1 : undefined;
}

/** Shapes of every tensor in the first batch, by name; sizes that are not known are guessed. */
async function shapesByName(
  float: Model,
  batches: Batches,
): Promise<ReadonlyMap<string, readonly number[] | undefined>> {
  const { model } = cloneModel(float);
  for await (const batch of batches()) {
    forgetInferred(model);
    for (const y of model.graph.outputs) y.shape = undefined;
    inferShapes(model, new Map(Object.entries(batch.feeds[0] ?? {}).map(([name, t]) => [name, t.dims])));
    break;
  }
  return new Map(
    [...model.graph.nodes].flatMap((n) =>
      n.outputs.map((y) => [y.name, y.shape?.map((d) => (typeof d === 'number' ? d : GUESSED_SIZE))]),
    ),
  );
}

function sampled(probes: readonly Probe[], shapes: ReadonlyMap<string, readonly number[] | undefined>): Sampled[] {
  return probes.map((p) => {
    const dims = shapes.get(p.name);
    const granularity = p.place.params?.scheme.granularity;
    const keep = new Set([
      ...(p.axis === undefined ? [] : [p.axis]),
      ...(granularity?.kind === 'axis' ? [granularity.axis] : []),
    ]);
    const steps = dims && granularity?.kind !== 'block' ? stepsOf(dims, keep) : undefined;
    return {
      ...p,
      steps,
      elements: (dims ?? []).reduce((n, d, axis) => n * Math.ceil(d / (steps?.[axis] ?? 1)), dims ? 1 : GUESSED_SIZE),
    };
  });
}

function groupsOf(probes: readonly Sampled[], limit: number): Sampled[][] {
  const groups: Sampled[][] = [[]];
  let bytes = 0;
  for (const p of probes) {
    const size = p.elements * (4 + (p.place.params ? 1 : 4));
    if (bytes + size > limit && bytes > 0) {
      groups.push([]);
      bytes = 0;
    }
    item(groups, groups.length - 1).push(p); // never empty
    bytes += size;
  }
  return groups;
}

async function measureGroup(
  o: LayersOptions,
  group: readonly Sampled[],
  batches: Batches,
  { total, note }: { readonly total: number; readonly note: string },
): Promise<{ meters: readonly TensorMeter[]; samples: number }> {
  const meters = group.map((p) => new TensorMeter(p.name, p.place.params, p.axis));
  const options = { threads: o.threads ?? 1 };
  const floatTaps = withTaps(
    o.float,
    group.map((p) => ({ value: p.float, steps: p.steps })),
  );
  const taps = withTaps(
    o.quantized,
    group.map(({ place, steps }) => ({ value: place.value, steps, dtype: place.params?.scheme.dtype ?? place.dtype })),
  );
  const float = await openModel(floatTaps.model, { ...options, label: 'the float model' });
  let samples = 0;
  try {
    const quantized = await openModel(taps.model, { ...options, label: 'the quantized model' });
    try {
      for await (const batch of batches()) {
        for (let k = 0; k < batch.feeds.length; k++) {
          const rows = rowsOf(batch, k);
          const f = group.length ? await float.run(item(batch.feeds, k), unique(floatTaps.names)) : {};
          const q: Feed = group.length ? await quantized.run(item(batch.feeds, k), unique(taps.names)) : {};
          // both were asked for, one for each probe
          group.forEach((_, i) =>
            item(meters, i).add(
              real(field(f, item(floatTaps.names, i)), rows),
              real(field(q, item(taps.names, i)), rows),
            ),
          );
        }
        samples += batch.samples.length;
        o.onEvent?.({ type: 'progress', stage: 'layers', done: samples, total, note });
        await nextTurn(); // runs block the thread: signals and drawing get their turn here
      }
    } finally {
      await quantized.close();
    }
  } finally {
    await float.close();
  }
  return { meters, samples };
}

const unique = (names: readonly string[]): string[] => [...new Set(names)];

/** Rows that hold samples. */
function real(t: FeedTensor, rows: { readonly total: number; readonly real: number }): FeedTensor {
  // a tensor of rank 1 or more has a first axis
  return t.dims.length ? sliceRows(t, 0, realLength(t.dims[0]!, rows)) : t;
}
