/** Where Resize reads its input, to hold it against the rule of a runtime. source: onnx.ai, operator Resize */
import { filled, item } from '../../base/lists.js';
import type { Layer } from './layers.js';

export interface Resampling {
  readonly mode: 'nearest' | 'linear';
  /** For each axis, in elements of the input, where each element of the output lies. */
  readonly places: readonly (readonly number[])[];
}

/** Undefined for modes other than nearest and linear, for crops, and where the scales are not constant. */
export function resamplingOf(l: Layer): Resampling | undefined {
  const { node } = l;
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const mode = node.string('mode', 'nearest');
  if (mode !== 'nearest' && mode !== 'linear' && mode !== 'bilinear') return undefined;
  const upsample = node.op === 'Upsample' || (node.op === 'Resize' && l.inputs.length < 3);
  const coordinates = upsample ? 'asymmetric' : node.string('coordinate_transformation_mode', 'half_pixel');
  const rounding = upsample ? 'floor' : node.string('nearest_mode', 'round_prefer_floor');
  const stretched = node.string('keep_aspect_ratio_policy', 'stretch') === 'stretch';
  if (!stretched || node.int('antialias', 0) === 1 || node.int('exclude_outside', 0) === 1) return undefined;
  const scales = scalesOf(l, x.shape, y.shape, upsample);
  if (!scales) return undefined;
  const places: number[][] = [];
  for (const [axis, n] of x.shape.entries()) {
    const from = placesAlong(n, item(y.shape, axis), item(scales, axis), coordinates);
    if (!from) return undefined;
    places.push(mode === 'nearest' ? from.map((p) => Math.min(Math.max(rounded(p, rounding), 0), n - 1)) : from);
  }
  return { mode: mode === 'nearest' ? 'nearest' : 'linear', places };
}

function scalesOf(
  l: Layer,
  from: readonly number[],
  to: readonly number[],
  upsample: boolean,
): readonly number[] | undefined {
  const { node } = l;
  const ratios = from.map((n, i) => item(to, i) / n);
  if (node.attrs.has('axes') || (!upsample && l.inputs[3])) return ratios;
  const edge = l.inputs[upsample ? 1 : 2];
  if (!edge) return node.attrs.has('scales') ? ratios : undefined;
  const given = edge.data ? [...edge.data.f64()] : undefined;
  return given?.length === from.length ? given : undefined;
}

function placesAlong(n: number, count: number, scale: number, coordinates: string): number[] | undefined {
  const at = (rule: (i: number) => number): number[] => Array.from({ length: count }, (_, i) => rule(i));
  switch (coordinates) {
    case 'asymmetric':
      return at((i) => i / scale);
    case 'half_pixel':
      return at((i) => (i + 0.5) / scale - 0.5);
    case 'pytorch_half_pixel':
      return at((i) => (count > 1 ? (i + 0.5) / scale - 0.5 : 0));
    case 'align_corners':
      return at((i) => (count > 1 ? (i * (n - 1)) / (count - 1) : 0));
    default:
      return undefined;
  }
}

function rounded(p: number, rule: string): number {
  switch (rule) {
    case 'floor':
      return Math.floor(p);
    case 'ceil':
      return Math.ceil(p);
    case 'round_prefer_ceil':
      return Math.floor(p + 0.5);
    default:
      return Math.ceil(p - 0.5);
  }
}

/** Whether two rules read at the same places, for linear interpolation within the borders. */
export const samePlaces = (a: readonly number[], b: readonly number[], size: number): boolean =>
  a.length === b.length &&
  a.every((p, i) => {
    const within = (v: number): number => Math.min(Math.max(v, 0), size - 1);
    return Math.abs(within(p) - within(item(b, i))) < 1e-4;
  });
