/** Taps: nodes added to a copy of the model that reduce and thin out tensors before they leave onnxruntime. */
import { dataOf } from '../ir/known.js';
import { byName, field, named } from '../base/lists.js';
import { fail } from '../base/errors.js';
import type { Rng } from '../base/rng.js';
import { cloneModel } from '../ir/clone.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { elementCount, Tensor } from '../ir/tensor.js';
import { specOf } from '../ops/index.js';
import { GraphBuilder } from '../rewrite/builder.js';
import type { Layout } from '../scheme/types.js';
import { showsLater } from './probes.js';
import { realLength, type RowCount } from './rows.js';
import type { Starts, Tap, TapRequest } from './tap-types.js';
import { coprimeStep, floats, wholeTap } from './tap-whole.js';
import { removeOutputs } from '../rewrite/unreached.js';

export interface Tapped {
  readonly model: Model;
  /** One for each request, in their order; requests of the same tensor and axis have the same. */
  readonly taps: readonly Tap[];
  /** Further inputs of the tapped model for one batch. */
  inputs(start: Starts, rows: RowCount): Feed;
}

/** Starts are drawn in 2^16 parts, so that every step has its own integer start. */
export const drawStart = (rng: Rng): Starts => rng.int(65536) / 65536;

/** Guess for axes whose size is not known: sequence lengths and the like. */
const GUESSED_SIZE = 128;
/** Runs of neighbours that are sampled together: short enough to be many, long enough to use whole cache lines. */
const LONGEST_RUN = 32;
/** Each sample is reduced in up to this many parts, so that threads share the work even for one sample. */
const PARTS = 16;

/**
 * Copies the model and taps the requested values of its main graph, at most `maxValues` values of each per row.
 *
 * Sizes known but for axis 0: exact extremes and, unless a later tap shows NaN as well, the sum, which is NaN or
 * infinite if any element is, by parts of a row; values by a seeded stride over short runs. Other sizes: extremes and
 * sum of the whole, values by a stride that the graph works out. Small tensors, unusual channel axes and opsets below
 * 10 (Slice without inputs) leave the graph whole. Graph inputs are read from the feed. The least value is not reduced
 * where the operator guarantees 0 (Relu, Sigmoid, pooling of them).
 */
export function tapModel(original: Model, requests: readonly TapRequest[], maxValues: number): Tapped {
  const { model, values } = cloneModel(original);
  removeOutputs(model.graph);
  const b = new GraphBuilder(model);
  const opset = model.opsets.get('') ?? 1;
  const requested = new Set(requests.map((r) => r.value));
  const stepInputs = new Map<number, string>();
  let budgetInput: Value | undefined;
  let startInput: Value | undefined;

  const input = (base: string, shape: readonly number[]): Value => b.input(b.freeName(base), 'int64', shape);
  const int64 = (...v: readonly number[]): Value => b.constant(Tensor.i64(v), 'tap_constant');
  const reduce = (op: 'ReduceMax' | 'ReduceMin' | 'ReduceSum', x: Value, axis: number | undefined): string => {
    const y = b.overAxes(op, x, axis === undefined ? undefined : [axis], { name: 'tap', attrs: { keepdims: 0 } });
    return output(y);
  };
  const output = (y: Value): string => {
    y.dtype ??= 'float32';
    y.shape ??= undefined;
    if (!model.graph.outputs.includes(y)) model.graph.addOutput(y);
    return y.name;
  };

  const tap = (request: TapRequest): Tap => {
    const { value, axis } = request;
    const x = values.get(value);
    if (!x) fail('INTERNAL', `bug in quantbench: '${value.name}' is not in the main graph of the model`);
    if (model.graph.isInput(x)) return wholeTap(request, undefined, 0, maxValues);
    const bound = isNonNegative(x);
    const dims = x.shape;
    const known =
      dims && dims.length >= 1 && dims.slice(1).every((d): d is number => typeof d === 'number' && d > 0)
        ? (dims.slice(1) as number[])
        : undefined; // checked by the guard
    const normal = axis === undefined ? undefined : axis < 0 ? axis + (dims?.length ?? NaN) : axis;
    const perRow = known ? elementCount(known) : undefined;
    const guess = dims
      ? dims.slice(1).reduce<number>((n, d) => n * (typeof d === 'number' ? d : GUESSED_SIZE), 1)
      : GUESSED_SIZE ** 2;
    const supported = opset >= 10 && (x.dtype === undefined || x.dtype === 'float32');
    if (
      supported &&
      known &&
      perRow !== undefined &&
      (perRow > maxValues || !request.needsValues) &&
      (normal === undefined || normal === 1)
    )
      return rowTap(x, request, known, perRow, bound);
    if (supported && !known && normal === undefined && dims?.length !== 0) return flatTap(x, request, bound);
    return wholeTap(request, output(x), guess * 4, maxValues);
  };

  /** Sizes known: [rows, channels or parts, …]. */
  const rowTap = (x: Value, request: TapRequest, known: readonly number[], perRow: number, bound: boolean): Tap => {
    const channels = request.axis === undefined ? 1 : known[0]!;
    const parts = request.axis === undefined ? largestDivisor(perRow, PARTS) : channels;
    const flat = b.op('Reshape', [x, int64(0, parts, -1)], { name: 'tap' });
    const max = reduce('ReduceMax', flat, 2);
    const min = bound ? undefined : reduce('ReduceMin', flat, 2);
    const sum = showsLater(request.value, requested) ? undefined : reduce('ReduceSum', flat, 2);
    let sample: string | undefined;
    const inner = perRow / channels;
    if (request.needsValues) {
      const run = largestDivisor(inner, LONGEST_RUN);
      const runs = inner / run;
      const step = coprimeStep(runs, Math.max(1, Math.floor(maxValues / channels / run)));
      const name = stepInputs.get(step) ?? input('tap_start', [1]).name;
      stepInputs.set(step, name);
      const start = byName(model.graph.inputs, name);
      const rows = b.op('Reshape', [x, int64(0, channels, runs, run)], { name: 'tap' });
      sample = output(b.op('Slice', [rows, start, int64(runs), int64(2), int64(step)], { name: 'tap' }));
    }
    return {
      value: request.value,
      fetches: [
        max,
        ...(min === undefined ? [] : [min]),
        ...(sum === undefined ? [] : [sum]),
        ...(sample === undefined ? [] : [sample]),
      ],
      bytesPerRow: 4 * (Math.min(maxValues, perRow) + 3 * parts),
      read(outputs, _feed, rows) {
        const maxima = floats(field(outputs, max), request.value);
        const length = field(outputs, max).dims[0]!;
        const minima = min === undefined ? undefined : floats(field(outputs, min), request.value);
        const part = sample === undefined ? undefined : field(outputs, sample);
        const real = realLength(length, rows);
        let layout: Layout | undefined;
        let values: Float32Array | undefined;
        if (part) {
          const each = elementCount(part.dims.slice(1));
          values = floats(part, request.value).subarray(0, real * each);
          layout = {
            outer: channels === 1 ? 1 : real,
            channels,
            inner: channels === 1 ? real * each : each / channels,
          };
        }
        return {
          min: minima ? columns(minima, channels, Math.min, Infinity) : new Float64Array(channels),
          max: columns(maxima, channels, Math.max, -Infinity),
          minIsBound: bound,
          count: real * inner,
          finite:
            allFinite(maxima) &&
            (!minima || allFinite(minima)) &&
            (sum === undefined || allFinite(floats(field(outputs, sum), request.value))),
          ...(values && layout ? { values, layout } : {}),
        };
      },
    };
  };

  /** Sizes unknown: one flat sequence, sampled every `step` elements from a start below the step. */
  const flatTap = (x: Value, request: TapRequest, bound: boolean): Tap => {
    const max = reduce('ReduceMax', x, undefined);
    const min = bound ? undefined : reduce('ReduceMin', x, undefined);
    const sum = reduce('ReduceSum', x, undefined);
    const size = b.op('Size', [x], { name: 'tap' });
    const sizeName = output(size);
    let sample: string | undefined;
    if (request.needsValues) {
      budgetInput ??= input('tap_budget', [1]);
      startInput ??= input('tap_fraction', [1]);
      const flat = b.op('Reshape', [x, int64(-1)], { name: 'tap' });
      const length = b.op('Reshape', [size, int64(1)], { name: 'tap' });
      // step = size / budget + 1, start = step · fraction / 65536, both rounded down.
      const step = b.op('Add', [b.op('Div', [length, budgetInput], { name: 'tap' }), int64(1)], { name: 'tap' });
      const start = b.op('Div', [b.op('Mul', [step, startInput], { name: 'tap' }), int64(65536)], { name: 'tap' });
      sample = output(b.op('Slice', [flat, start, length, int64(0), step], { name: 'tap' }));
    }
    return {
      value: request.value,
      fetches: [max, ...(min === undefined ? [] : [min]), sum, sizeName, ...(sample === undefined ? [] : [sample])],
      bytesPerRow: 4 * maxValues,
      read(outputs, _feed, rows, fraction) {
        const total = Number(field(outputs, sizeName).data[0]);
        const real = Math.round((total / rows.total) * rows.real);
        let values = sample === undefined ? undefined : floats(field(outputs, sample), request.value);
        if (values) {
          const step = Math.floor(total / (maxValues * rows.total)) + 1;
          values = values.subarray(0, Math.max(0, Math.ceil((real - Math.floor(step * fraction)) / step)));
        }
        const extremes = [max, min, sum].map((name) =>
          name === undefined ? 0 : floats(field(outputs, name), request.value)[0]!,
        );
        return {
          min: Float64Array.of(extremes[1]!),
          max: Float64Array.of(extremes[0]!),
          minIsBound: bound,
          count: real,
          finite: extremes.every(Number.isFinite),
          ...(values ? { values, layout: { outer: 1, channels: 1, inner: values.length } } : {}),
        };
      },
    };
  };

  // Observers that share a tensor share its tap.
  const idOf = (r: TapRequest): string => `${r.axis ?? ''} ${r.value.name}`;
  const unique = new Map<string, TapRequest>();
  for (const r of requests)
    unique.set(idOf(r), { ...r, needsValues: r.needsValues || unique.get(idOf(r))?.needsValues === true });
  // onnxruntime computes what the last node needs first. Taps added last to first let it finish with each tensor before
  // the next: the other way round, all tapped tensors of the batch are alive at once (ResNet-50, batch 8: 1,631 MiB
  // against 844).
  const taps = new Map([...unique].reverse().map(([id, r]) => [id, tap(r)]));
  return {
    model,
    taps: requests.map((r) => {
      const own = named(taps, idOf(r)); // each has one
      return r.infinite ? { ...own, read: (...args) => ({ ...own.read(...args), finite: true }) } : own;
    }),
    inputs(start, rows) {
      const feed: Record<string, FeedTensor> = {};
      const put = (name: string, v: number): void => {
        feed[name] = { dtype: 'int64', dims: [1], data: BigInt64Array.of(BigInt(v)) };
      };
      for (const [step, name] of stepInputs) put(name, Math.floor(start * step));
      if (budgetInput) put(budgetInput.name, maxValues * rows.total);
      if (startInput) put(startInput.name, start * 65536);
      return feed;
    },
  };
}

/** Column results of [rows, n] where n = channels, or of everything where channels = 1. */
function columns(
  values: Float32Array,
  channels: number,
  pick: (a: number, b: number) => number,
  from: number,
): Float64Array {
  const out = new Float64Array(channels).fill(from);
  for (let i = 0; i < values.length; i++) out[i % channels] = pick(out[i % channels]!, values[i]!);
  return out;
}

function allFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i]!)) return false;
  return true;
}

function largestDivisor(n: number, most: number): number {
  let d = Math.min(n, most);
  while (n % d !== 0) d--;
  return d;
}

/** Whether the operators before a value guarantee that it is never negative. */
function isNonNegative(v: Value, depth = 0): boolean {
  const node = v.producer;
  const role = node && specOf(node)?.quant;
  if (!node || !role || depth > 20) return false;
  switch (role.role) {
    case 'clamp': {
      const bounds = role.bounds(node);
      return bounds !== undefined && bounds[0] >= 0;
    }
    case 'arithmetic':
      return role.range !== undefined && role.range[0] >= 0;
    case 'passthrough': {
      const inputs = role.data === 'all' ? node.inputs : role.data.map((i) => node.inputs[i]);
      // A constant beside the data may enter the result, as the fill value of Pad does.
      const others = node.inputs.filter((x) => x !== null && !inputs.includes(x) && x.data?.dtype === 'float32');
      return (
        others.every((x) =>
          dataOf(x!)
            .f32()
            .every((c) => c >= 0),
        ) &&
        !node.attrs.has('value') &&
        inputs.every((x) => x !== null && x !== undefined && isNonNegative(x, depth + 1))
      );
    }
    default:
      return false;
  }
}
