/** What moves, selects or joins elements. */
import { filled, item } from '../../base/lists.js';
import { normalAxis } from '../../ops/spec.js';
import { borderOf, partsOf, slicesOf } from '../shared/arguments.js';
import type { Edge, Layer } from '../shared/layers.js';
import { resamplingOf, samePlaces } from '../shared/resampling.js';
import type { Attribute, PaddleProgram } from './program.js';

/** Writes an operator of one input and one output, X and Out. */
function one(
  l: Layer,
  to: PaddleProgram,
  type: string,
  attributes: Readonly<Record<string, Attribute>>,
  input = 'X',
): undefined {
  const y = filled(l.outputs, 0);
  const made = to.temporary(y.name, y.shape);
  to.add(type, { [input]: to.value(filled(l.inputs, 0)) }, { Out: made }, attributes);
  to.sets(y, made);
}

/** Reshape, Flatten, Squeeze, Unsqueeze: other sizes, as shape inference found them, for any batch. */
export function view(l: Layer, to: PaddleProgram): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  if (x.shape[0] !== y.shape[0]) return 'it changes the batch axis';
  reshape(to, x, y, to.value(x));
  return undefined;
}
/** 0 keeps the size of an axis. */
function reshape(to: PaddleProgram, x: Edge, y: Edge, value: string): void {
  const made = to.temporary(y.name, y.shape);
  const before = to.temporary(`${y.name}.shape`, [0, ...x.shape]);
  to.add('reshape2', { X: value }, { Out: made, XShape: before }, { shape: [0, ...y.shape.slice(1)] });
  to.sets(y, made);
}
export const identity = (l: Layer, to: PaddleProgram): undefined =>
  to.sets(filled(l.outputs, 0), to.value(filled(l.inputs, 0))) as undefined; // gives nothing

/** Where only axes of one element move, the order of elements stays. */
export function transpose(l: Layer, to: PaddleProgram): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const rank = x.shape.length;
  const axis = l.node.ints(
    'perm',
    Array.from({ length: rank }, (_, i) => rank - 1 - i),
  );
  if (axis[0] !== 0) return 'it moves the batch axis';
  const moved = axis.slice(1).filter((a) => item(x.shape, a) > 1);
  if (moved.every((a, i) => i === 0 || a > item(moved, i - 1))) return view(l, to);
  const made = to.temporary(y.name, y.shape);
  const before = to.temporary(`${y.name}.shape`, [0, ...x.shape]);
  to.add('transpose2', { X: to.value(x) }, { Out: made, XShape: before }, { axis });
  to.sets(y, made);
  return undefined;
}

export function concat(l: Layer, to: PaddleProgram): string | undefined {
  const y = filled(l.outputs, 0);
  const axis = normalAxis(l.node.int('axis'), y.shape.length);
  if (axis === 0) return 'it joins along the batch axis';
  const parts = l.inputs.filter((v) => v !== undefined);
  const constant = parts.find((v) => v.data);
  if (constant) return `its part '${constant.name}' is a constant, which has no batch`;
  const made = to.temporary(y.name, y.shape);
  to.add('concat', { X: parts.map((v) => to.value(v)) }, { Out: made }, { axis });
  to.sets(y, made);
  return undefined;
}

export function split(l: Layer, to: PaddleProgram): string | undefined {
  const x = filled(l.inputs, 0);
  const axis = normalAxis(l.node.int('axis', 0), x.shape.length);
  if (axis === 0) return 'it parts the batch axis';
  const parts = l.outputs.filter((v) => v !== undefined);
  if (parts.length < l.outputs.length) return 'a part is left out';
  const made = parts.map((y) => to.temporary(y.name, y.shape));
  to.add('split', { X: to.value(x) }, { Out: made }, { axis, sections: partsOf(l, axis), num: 0 });
  parts.forEach((y, i) => to.sets(y, item(made, i)));
  return undefined;
}

export function slice(l: Layer, to: PaddleProgram): string | undefined {
  const x = filled(l.inputs, 0);
  const taken = slicesOf(l);
  if (!taken) return 'its limits are not constants';
  if (taken.some((t) => t.step < 0)) return 'it goes backwards';
  if (taken[0]?.count !== x.shape[0]) return 'it cuts the batch axis';
  const axes = taken.flatMap((t, i) => (t.step > 1 || t.count !== x.shape[i] ? [i] : []));
  if (!axes.length) return identity(l, to);
  const starts = axes.map((i) => item(taken, i).start);
  const ends = axes.map((i) =>
    Math.min(item(taken, i).start + item(taken, i).count * item(taken, i).step, item(x.shape, i)),
  );
  const strides = axes.map((i) => item(taken, i).step);
  const more = { axes, starts, ends, infer_flags: axes.map(() => 1), decrease_axis: [] };
  return strides.some((s) => s > 1)
    ? one(l, to, 'strided_slice', { ...more, strides }, 'Input')
    : one(l, to, 'slice', more, 'Input');
}

/** Borders of channels are joined as zeros: `pad` damages the heap under oneDNN (2.6.2, 3.3.1). */
export function pad(l: Layer, to: PaddleProgram): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const border = borderOf(l);
  if (!border) return 'its borders are not constants';
  const padded = x.shape.flatMap((_, i) => (border.before[i] || border.after[i] ? [i] : []));
  if ([...border.before, ...border.after].some((n) => n < 0)) return 'a border is negative';
  if (padded.includes(0)) return 'it pads the batch axis';
  if (border.mode !== 'constant') return `there is no mode ${border.mode}`;
  let value = to.value(x);
  let shape = [...x.shape];
  for (const axis of padded) {
    const strip = (n: number): string[] =>
      n
        ? [
            constant(
              to,
              `${y.name}.border`,
              shape.map((d, i) => (i === axis ? n : d)),
              border.value,
              value,
            ),
          ]
        : [];
    const next = shape.map((d, i) => (i === axis ? d + item(border.before, i) + item(border.after, i) : d));
    const parts = [...strip(item(border.before, axis)), value, ...strip(item(border.after, axis))];
    const made = to.temporary(y.name, next);
    to.add('concat', { X: parts }, { Out: made }, { axis });
    value = made;
    shape = next;
  }
  to.sets(y, value);
  return undefined;
}
function constant(to: PaddleProgram, name: string, shape: readonly number[], value: number, like: string): string {
  const made = to.temporary(name, shape);
  const attributes = {
    shape: [-1, ...shape.slice(1)],
    value: { float: value },
    dtype: 5,
    input_dim_idx: 0,
    output_dim_idx: 0,
  };
  to.add('fill_constant_batch_size_like', { Input: like }, { Out: made }, attributes);
  return made;
}

export function resize(l: Layer, to: PaddleProgram): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const rule = resamplingOf(l);
  if (!rule) return 'it interpolates in a way that is not there';
  if (x.shape.length !== 4 || x.shape[1] !== y.shape[1]) return 'it is not over two axes of a map';
  const [n, m] = [x.shape.slice(2), y.shape.slice(2)];
  const places = rule.places.slice(2);
  const fits = (own: (i: number, axis: number) => number): boolean =>
    places.every((p, axis) =>
      samePlaces(
        p,
        p.map((_, i) => own(i, axis)),
        item(n, axis),
      ),
    );
  const ratio = (axis: number): number => item(n, axis) / item(m, axis);
  const corners = (i: number, a: number): number => (item(m, a) > 1 ? (i * (item(n, a) - 1)) / (item(m, a) - 1) : 0);
  const size = { out_h: item(m, 0), out_w: item(m, 1), out_d: -1, data_layout: 'NCHW' };
  if (rule.mode === 'nearest')
    return fits((i, a) => Math.floor(i * ratio(a)))
      ? one(l, to, 'nearest_interp_v2', { ...size, interp_method: 'nearest', align_corners: false, align_mode: 1 })
      : 'it reads at places where Paddle reads at others';
  // align_mode 0: centres of pixels; 1: the corner of a pixel
  const mode = fits((i, a) => (i + 0.5) * ratio(a) - 0.5) ? 0 : fits((i, a) => i * ratio(a)) ? 1 : undefined;
  if (mode === undefined && !fits(corners)) return 'it reads at places where Paddle reads at others';
  const more = { interp_method: 'bilinear', align_corners: mode === undefined, align_mode: mode ?? 0 };
  return one(l, to, 'bilinear_interp_v2', { ...size, ...more });
}
