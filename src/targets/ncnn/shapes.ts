/** What moves, selects or joins elements. source: src/layer/permute.cpp, crop.cpp, padding.cpp, interp.cpp */
import { filled, item } from '../../base/lists.js';
import { normalAxis } from '../../ops/spec.js';
import { borderOf, partsOf, slicesOf, type Taken } from '../shared/arguments.js';
import type { Edge, Layer } from '../shared/layers.js';
import { resamplingOf, samePlaces } from '../shared/resampling.js';
import { float, int, type NcnnNet } from './file.js';
import { operand, operandRefused, reshaped, same, sizesOf } from './sizes.js';

/** Numbers of orders of axes: names of the axes from the innermost on. */
const ORDERS: Readonly<Record<number, readonly string[]>> = {
  2: 'wh hw'.split(' '),
  3: 'whc hwc wch cwh hcw chw'.split(' '),
  4: (
    'whdc hwdc wdhc dwhc hdwc dhwc whcd hwcd wchd cwhd hcwd chwd wdch dwch wcdh cwdh dcwh cdwh hdcw dhcw hcdw chdw ' +
    'dchw cdhw'
  ).split(' '),
};
const AXES: Readonly<Record<number, string>> = { 1: 'w', 2: 'hw', 3: 'chw', 4: 'cdhw' };

/** Reshape, Flatten, Squeeze, Unsqueeze: other sizes, as shape inference found them. */
export function view(l: Layer, net: NcnnNet): undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  net.holds(y, reshaped(net, net.blob(x), sizesOf(x), sizesOf(y), y.name));
}
export const identity = (l: Layer, net: NcnnNet): undefined =>
  net.holds(filled(l.outputs, 0), net.blob(filled(l.inputs, 0))) as undefined; // gives nothing

export function transpose(l: Layer, net: NcnnNet): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const rank = x.shape.length;
  const order = l.node.ints(
    'perm',
    Array.from({ length: rank }, (_, i) => rank - 1 - i),
  );
  const moved = order.filter((a) => item(x.shape, a) > 1);
  if (moved.every((a, i) => i === 0 || a > item(moved, i - 1))) return view(l, net);
  if (order[0] !== 0) return 'it moves the batch axis';
  const axes = AXES[rank - 1] ?? '';
  const name = [...order.slice(1)]
    .reverse()
    .map((a) => axes[a - 1])
    .join('');
  const number = ORDERS[rank - 1]?.indexOf(name) ?? -1;
  net.holds(y, net.add('Permute', y.name, [net.blob(x)], { 0: int(number) }));
  return undefined;
}

export function concat(l: Layer, net: NcnnNet): string | undefined {
  const y = filled(l.outputs, 0);
  const axis = normalAxis(l.node.int('axis'), y.shape.length);
  if (axis === 0) return 'it joins along the batch axis';
  const rank = sizesOf(y).length;
  const parts = l.inputs.filter((v) => v !== undefined);
  const refused = parts.map((v) => operandRefused(v, rank)).find((r) => r !== undefined);
  if (refused !== undefined) return refused;
  net.holds(
    y,
    net.add(
      'Concat',
      y.name,
      parts.map((v) => operand(net, v, rank)),
      { 0: int(axis - 1) },
    ),
  );
  return undefined;
}

export function split(l: Layer, net: NcnnNet): string | undefined {
  const x = filled(l.inputs, 0);
  const axis = normalAxis(l.node.int('axis', 0), x.shape.length);
  if (axis === 0) return 'it parts the batch axis';
  if (l.outputs.some((y) => !y)) return 'a part is left out';
  const parts = l.outputs.filter((v) => v !== undefined);
  const blobs = parts.map((y) => net.free(y.name));
  net.row('Slice', l.name, [net.blob(x)], blobs, { 0: partsOf(l, axis).map(int), 1: int(axis - 1) });
  parts.forEach((y, i) => net.holds(y, item(blobs, i)));
  return undefined;
}

export function slice(l: Layer, net: NcnnNet): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const taken = slicesOf(l);
  if (!taken) return 'its limits are not constants';
  if (taken.some((t) => t.step < 0)) return 'it goes backwards';
  if (taken[0]?.count !== x.shape[0]) return 'it cuts the batch axis';
  net.holds(y, cut(net, net.blob(x), sizesOf(x), x.shape.length > 1 ? taken.slice(1) : taken, y.name));
  return undefined;
}

/** Crops, and then takes every step-th element: a pool of windows of one element does, over any axis in the middle. */
function cut(net: NcnnNet, from: string, sizes: readonly number[], taken: readonly Taken[], name: string): string {
  // Pools of one element leave out what lies behind the last step by themselves.
  const ends = taken.map((t, i) => {
    const size = item(sizes, i);
    return t.start + Math.ceil((size - t.start) / t.step) === t.start + t.count && t.count > 0
      ? size
      : t.start + (t.count - 1) * t.step + 1;
  });
  const cropped = taken.flatMap((t, i) => (t.start > 0 || ends[i] !== sizes[i] ? [i] : []));
  const strided = taken.flatMap((t, i) => (t.step > 1 ? [i] : []));
  let blob = from;
  if (cropped.length)
    blob = net.add('Crop', strided.length ? `${name}_cropped` : name, [blob], {
      9: cropped.map((i) => int(item(taken, i).start)),
      10: cropped.map((i) => int(item(ends, i))),
      11: cropped.map(int),
    });
  let now = sizes.map((_, i) => item(ends, i) - item(taken, i).start);
  const pool = (input: string, sh: number, sw: number): string =>
    net.add('Pooling', name, [input], { 0: int(0), 1: int(1), 2: int(sw), 12: int(sh), 5: int(1) });
  if (now.length === 3 && strided.every((i) => i > 0)) {
    if (!strided.length) return blob;
    return pool(blob, item(taken, 1).step, item(taken, 2).step);
  }
  for (const i of strided) {
    const next = now.map((n, k) => (k === i ? item(taken, i).count : n));
    const [outer, inner] = [now.slice(0, i).reduce(times, 1), now.slice(i + 1).reduce(times, 1)];
    const map = reshaped(net, blob, now, [outer, item(now, i), inner], `${name}_rows`);
    blob = reshaped(net, pool(map, item(taken, i).step, 1), [outer, item(next, i), inner], next, name);
    now = next;
  }
  return blob;
}
const times = (a: number, b: number): number => a * b;

export function gather(l: Layer, net: NcnnNet): string | undefined {
  const [x, indices] = [filled(l.inputs, 0), filled(l.inputs, 1)];
  const y = filled(l.outputs, 0);
  const axis = normalAxis(l.node.int('axis', 0), x.shape.length);
  if (x.data && axis === 0 && x.shape.length === 2 && !indices.data) {
    const [rows, columns] = [item(x.shape, 0), item(x.shape, 1)];
    const made = net.add('Embed', y.name, [net.blob(indices)], {
      0: int(columns),
      1: int(rows),
      2: int(0),
      3: int(rows * columns),
    });
    net.weights(x.data.f32());
    const own = sizesOf(y);
    net.holds(y, reshaped(net, made, [sizesOf(indices).reduce(times, 1), columns], own, `${y.name}_rows`));
    return undefined;
  }
  const at = indices.data?.numbers();
  if (!at || x.data) return 'it is neither a table of rows nor a choice of constant places';
  if (axis === 0) return 'it chooses along the batch axis';
  const n = item(x.shape, axis);
  const places = at.map((i) => (i < 0 ? i + n : i));
  const step = places.length > 1 ? item(places, 1) - item(places, 0) : 1;
  if (step < 1 || places.some((p, i) => p !== item(places, 0) + i * step))
    return 'the places that it chooses are not at one distance';
  const sizes = sizesOf(x);
  const taken = sizes.map((count, i): Taken =>
    i === axis - 1 ? { start: item(places, 0), step, count: places.length } : { start: 0, step: 1, count },
  );
  const counts = taken.map((t) => t.count);
  const made = cut(net, net.blob(x), sizes, taken, same(counts, sizesOf(y)) ? y.name : `${y.name}_chosen`);
  net.holds(y, reshaped(net, made, counts, sizesOf(y), y.name));
  return undefined;
}

export function pad(l: Layer, net: NcnnNet): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const border = borderOf(l);
  if (!border) return 'its borders are not constants';
  const type = ['constant', 'edge', 'reflect'].indexOf(border.mode);
  if (type < 0) return `there is no mode ${border.mode}`;
  const [before, after] = [border.before.slice(1), border.after.slice(1)];
  if (border.before[0] || border.after[0]) return 'it pads the batch axis';
  if ([...before, ...after].some((n) => n < 0)) return 'a border is negative';
  const rank = before.length;
  const channels = rank >= 3 && (before[0] || after[0]) ? true : false;
  if (channels && (rank > 3 || type > 0)) return 'it pads the channels with other than a constant';
  const along = (fromEnd: number, list: readonly number[]): string => int(list[rank - fromEnd] ?? 0);
  net.holds(
    y,
    net.add('Padding', y.name, [net.blob(x)], {
      0: along(2, before),
      1: along(2, after),
      2: along(1, before),
      3: along(1, after),
      4: int(type),
      5: float(border.value),
      7: along(3, before),
      8: along(3, after),
    }),
  );
  return undefined;
}

export function resize(l: Layer, net: NcnnNet): string | undefined {
  const [x, y] = [filled(l.inputs, 0), filled(l.outputs, 0)];
  const rule = resamplingOf(l);
  if (!rule) return 'it interpolates in a way that is not there';
  const [from, to] = [sizesOf(x), sizesOf(y)];
  if (from.length !== 3) return 'it is not over two axes of a map';
  if (from[0] !== to[0]) return 'it changes the number of channels';
  const places = rule.places.slice(2);
  const [n, m] = [from.slice(1), to.slice(1)];
  const fits = (own: (i: number, axis: number) => number): boolean =>
    places.every((p, axis) =>
      samePlaces(
        p,
        p.map((_, i) => own(i, axis)),
        item(n, axis),
      ),
    );
  // interp.cpp: nearest takes ⌊i · in ÷ out⌋; linear takes centres of pixels, or corners where they are aligned.
  const ratio = (axis: number): number => Math.fround(item(n, axis) / item(m, axis));
  const corners = rule.mode === 'linear' && !fits((i, a) => (i + 0.5) * ratio(a) - 0.5);
  const known =
    rule.mode === 'nearest'
      ? fits((i, a) => Math.floor(Math.fround(i * ratio(a))))
      : !corners || fits((i, a) => (item(m, a) > 1 ? (i * (item(n, a) - 1)) / (item(m, a) - 1) : 0));
  if (!known) return 'it reads at places between pixels where ncnn reads at others';
  net.holds(
    y,
    net.add('Interp', y.name, [net.blob(x)], {
      0: int(rule.mode === 'nearest' ? 1 : 2),
      3: int(item(m, 0)),
      4: int(item(m, 1)),
      6: int(corners ? 1 : 0),
    }),
  );
  return undefined;
}

/** Blocks of pixels become channels, or the other way round; the number says how channels are ordered. */
export function depthToSpace(l: Layer, net: NcnnNet): undefined {
  const dcr = l.node.string('mode', 'DCR') === 'DCR';
  block(l, net, 'PixelShuffle', dcr ? 1 : 0);
}
export const spaceToDepth = (l: Layer, net: NcnnNet): undefined => block(l, net, 'Reorg', 1);
function block(l: Layer, net: NcnnNet, type: string, mode: number): undefined {
  const y: Edge = filled(l.outputs, 0);
  net.holds(
    y,
    net.add(type, y.name, [net.blob(filled(l.inputs, 0))], { 0: int(l.node.int('blocksize')), 1: int(mode) }),
  );
}
