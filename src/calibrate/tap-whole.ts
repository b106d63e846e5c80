/** Taps that read the whole tensor: graph inputs, small tensors, unusual channel axes. */
import { fail } from '../base/errors.js';
import type { FeedTensor } from '../ir/feed.js';
import type { Value } from '../ir/graph.js';
import { elementCount } from '../ir/tensor.js';
import type { Layout } from '../scheme/types.js';
import { kernels } from './kernels.js';
import { realLength } from './rows.js';
import type { Starts, Tap, TapRequest } from './tap-types.js';

/** Reads the tensor itself: a graph input from the feed, or an output. Samples it by a stride where it is large. */
export function wholeTap(
  { value, axis, needsValues }: TapRequest,
  fetch: string | undefined,
  bytesPerRow: number,
  maxValues: number,
): Tap {
  return {
    value,
    fetches: fetch === undefined ? [] : [fetch],
    bytesPerRow,
    read(outputs, feed, rows, start) {
      const tensor = fetch === undefined ? feed[value.name] : outputs[fetch];
      if (!tensor)
        return fail('DATA_SHAPE', `the sample has no value for input '${value.name}'`, { tensor: value.name });
      const { dims } = tensor;
      const all = floats(tensor, value);
      const length = dims[0] ?? 1;
      const real = realLength(length, rows);
      const own = all.subarray(0, (all.length / Math.max(1, length)) * real);
      const normal = axis === undefined ? undefined : axis < 0 ? axis + dims.length : axis;
      if (normal !== undefined && dims[normal] === undefined)
        fail(
          'CALIBRATION_CHANNELS',
          `channel axis ${axis} is outside of '${value.name}' of dims [${dims.join(',')}]`,
          { tensor: value.name },
          'use per-tensor activations',
        );
      const shape = dims.length ? [real, ...dims.slice(1)] : [];
      const layout: Layout =
        normal === undefined
          ? { outer: 1, channels: 1, inner: own.length }
          : {
              outer: elementCount(shape.slice(0, normal)),
              channels: shape[normal]!,
              inner: elementCount(shape.slice(normal + 1)),
            };
      const extremes = channelExtremes(own, layout);
      return {
        ...extremes,
        minIsBound: false,
        count: own.length / layout.channels,
        ...(needsValues ? thinOut(own, layout, maxValues * rows.real, start) : {}),
      };
    },
  };
}

function channelExtremes(
  values: Float32Array,
  { outer, channels, inner }: Layout,
): { min: Float64Array; max: Float64Array; finite: boolean } {
  const min = new Float64Array(channels).fill(Infinity);
  const max = new Float64Array(channels).fill(-Infinity);
  let finite = true;
  const { extent } = kernels();
  for (let o = 0, at = 0; o < outer; o++) {
    for (let c = 0; c < channels; c++, at += inner) {
      const e = extent(values, at, at + inner);
      if (!e.finite) finite = false;
      if (e.min < min[c]!) min[c] = e.min;
      if (e.max > max[c]!) max[c] = e.max;
    }
  }
  return { min, max, finite };
}

/** Every step-th value of each channel, as [channels, 1, …]; all of them where they are few. */
function thinOut(
  values: Float32Array,
  layout: Layout,
  most: number,
  start: Starts,
): { values: Float32Array; layout: Layout } {
  const step = Math.ceil(values.length / Math.max(1, most));
  if (step <= 1) return { values, layout };
  const { outer, channels, inner } = layout;
  const stride = coprimeStep(outer * inner, Math.max(1, Math.floor(most / channels)));
  const first = Math.floor(start * stride);
  const each = Math.max(0, Math.ceil((outer * inner - first) / stride));
  const out = new Float32Array(each * channels);
  for (let c = 0, at = 0; c < channels; c++) {
    for (let i = first; i < outer * inner; i += stride)
      out[at++] = values[(Math.floor(i / inner) * channels + c) * inner + (i % inner)]!;
  }
  return { values: out, layout: { outer: 1, channels, inner: each } };
}

/** float32 data. Throws MODEL_UNSUPPORTED for other types. */
export function floats(t: FeedTensor, value: Value): Float32Array {
  if (t.data instanceof Float32Array) return t.data;
  return fail(
    'MODEL_UNSUPPORTED',
    `'${value.name}' holds ${t.dtype}, and calibration observes float32`,
    { tensor: value.name },
    'exclude the nodes that use it',
  );
}

/**
 * The least step that takes no more than `most` of n and shares no factor with it, so that no row or channel is
 * favoured.
 */
export function coprimeStep(n: number, most: number): number {
  let step = Math.ceil(n / most);
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  while (step < n && gcd(step, n) !== 1) step++;
  return Math.max(1, Math.min(step, n));
}
