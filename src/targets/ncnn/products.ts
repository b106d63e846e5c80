/** Convolutions and matrix products. source: src/layer/convolution.cpp, deconvolution.cpp, innerproduct.cpp of ncnn */
import { filled, item } from '../../base/lists.js';
import type { Edge, Layer } from '../shared/layers.js';
import { windowOf, type Window } from '../../ops/window.js';
import { float, int, type NcnnNet, type Settings } from './file.js';
import { folded, heldOf, type Folded } from './held.js';
import { rowsOf } from './rows.js';
import { operand, operandRefused, reshaped, sizesOf } from './sizes.js';

/** The highest code. */
const HIGHEST = 127;

/** Settings of what is applied to the result: 1 is ReLU, 3 a clamp. A clamp that they cannot say is left to `after`. */
const clampSettings = ([low, high]: readonly [number, number]): Settings =>
  low === 0 && high === Infinity ? { 9: int(1) } : { 9: int(3), 10: [float(bound(low)), float(bound(high))] };
const bound = (x: number): number => Math.min(Math.max(x, -3.4e38), 3.4e38);

export function convolution(l: Layer, net: NcnnNet): string | undefined {
  const [x, w] = [filled(l.inputs, 0), filled(l.inputs, 1)];
  const y = filled(l.outputs, 0);
  const refused = windowRefused(l);
  if (refused !== undefined) return refused;
  const flat = w.shape.length === 3;
  const planes = flat ? [1, ...w.shape.slice(2)] : w.shape.slice(2);
  const along = (v: readonly number[]): readonly number[] => (flat ? [0, ...v] : v);
  const own = windowOf(l.node, w.shape.slice(2), x.shape.slice(2), y.shape.slice(2));
  const at = flat ? { ...own, strides: [1, ...own.strides], dilations: [1, ...own.dilations] } : own;
  const window = { ...at, kernel: planes, before: along(own.before), after: along(own.after) };
  const input = flat
    ? reshaped(net, net.blob(x), [1], [item(x.shape, 1), 1, item(x.shape, 2)], `${l.name}_map`)
    : net.blob(x);
  const made = grouped(l, net, input, window);
  net.holds(y, flat ? reshaped(net, made, [1], sizesOf(y), y.name) : made);
  return undefined;
}

function windowRefused(l: Layer): string | undefined {
  const w = filled(l.inputs, 1);
  if (!w.data) return 'its weight is not a constant';
  if (l.inputs[2] && !l.inputs[2].data) return 'its bias is not a constant';
  if (w.shape.length !== 3 && w.shape.length !== 4)
    return `it has ${w.shape.length - 2} spatial axes, where 1 or 2 may be`;
  return l.node.ints('pads', []).some((p) => p < 0) ? 'a pad is negative' : undefined;
}

/** One convolution, or one for each group where codes of a group have several scales and ncnn takes one. */
function grouped(l: Layer, net: NcnnNet, input: string, window: Window): string {
  const [x, w] = [filled(l.inputs, 0), filled(l.inputs, 1)];
  const y = filled(l.outputs, 0);
  const groups = l.node.int('group', 1);
  const rows = item(w.shape, 0);
  const given = rowsOf(filled([w.data], 0).f32(), rows, l.coded.get(1), x);
  const made = folded({ rows: given, bias: l.inputs[2]?.data?.f32(), clamp: l.clamp }, heldOf(x), heldOf(y));
  const { rows: all, bias } = made;
  const each = rows / groups;
  const shared = !all.codes || all.codes.factors.every((f, i, list) => f === list[Math.floor(i / each) * each]);
  if (groups === 1 || shared) return one(l, net, input, window, { ...made, groups, name: y.name });
  const channels = item(x.shape, 1) / groups;
  const parts = Array.from({ length: groups }, (_, g) => net.free(`${l.name}_group_${g}`));
  net.row('Slice', `${l.name}_groups`, [input], parts, { 0: parts.map(() => int(channels)), 1: int(0) });
  const results = parts.map((p, g) => {
    const of = <T extends Float32Array | Int8Array>(a: T, n: number): T =>
      a.subarray(g * each * n, (g + 1) * each * n) as T; // of the same type
    const codes = all.codes && {
      codes: of(all.codes.codes, all.columns),
      factors: of(all.codes.factors, 1),
      input: all.codes.input,
    };
    const part = { rows: each, columns: all.columns, values: of(all.values, all.columns), ...(codes ? { codes } : {}) };
    const own = { ...made, rows: part, bias: bias && of(bias, 1) };
    return one(l, net, p, window, { ...own, groups: 1, name: `${l.name}_${g}` });
  });
  return net.add('Concat', y.name, results, { 0: int(0) });
}

interface Product extends Folded {
  readonly groups: number;
  readonly name: string;
}
function one(l: Layer, net: NcnnNet, input: string, w: Window, p: Product): string {
  const output = net.free(p.name);
  const [kh, kw] = [item(w.kernel, 0), item(w.kernel, 1)];
  const settings: Settings = {
    0: int(p.rows.rows),
    1: int(kw),
    11: int(kh),
    2: int(item(w.dilations, 1)),
    12: int(item(w.dilations, 0)),
    3: int(item(w.strides, 1)),
    13: int(item(w.strides, 0)),
    4: int(item(w.before, 1)),
    14: int(item(w.before, 0)),
    15: int(item(w.after, 1)),
    16: int(item(w.after, 0)),
    5: int(p.bias ? 1 : 0),
    6: int(p.rows.values.length),
    ...(p.groups > 1 ? { 7: int(p.groups) } : {}),
    ...(p.rows.codes ? { 8: int(p.groups > 1 ? 1 : 2) } : {}),
    ...(p.clamp ? clampSettings(p.clamp) : {}),
    ...(p.border ? { 18: float(p.border) } : {}),
  };
  const type = p.groups > 1 ? 'ConvolutionDepthWise' : 'Convolution';
  const name = net.row(type, l.name, [input], [output], settings);
  writeWeights(net, name, p, p.groups > 1 ? p.rows.rows / p.groups : 1);
  return output;
}

/** Weights, bias, factors to codes of each row or group of rows, and of the input, in this order. */
function writeWeights(net: NcnnNet, name: string, { rows, bias, border }: Product, sharing: number): void {
  const { values, codes } = rows;
  if (!codes) {
    net.weights(values);
    if (bias) net.floats(bias);
    return;
  }
  const factors = codes.factors.filter((_, i) => i % sharing === 0);
  net.codes(codes.codes);
  if (bias) net.floats(bias);
  net.floats(factors);
  net.floats(Float32Array.of(codes.input));
  // ncnn's own quantizer holds the tensor as it is: its codes have to reach as far on both sides of zero
  net.note(name, factors, (codes.input * HIGHEST) / (HIGHEST + border));
}

export function deconvolution(l: Layer, net: NcnnNet): string | undefined {
  const [x, w] = [filled(l.inputs, 0), filled(l.inputs, 1)];
  const y = filled(l.outputs, 0);
  const refused = windowRefused(l);
  if (refused !== undefined) return refused;
  if (w.shape.length !== 4) return 'it has one spatial axis, where 2 must be';
  const mode = l.node.string('auto_pad', 'NOTSET');
  if (mode.startsWith('SAME') || l.node.attrs.has('output_shape'))
    return 'its padding follows from output_shape or auto_pad';
  const [inputs, each, kh, kw] = [item(w.shape, 0), item(w.shape, 1), item(w.shape, 2), item(w.shape, 3)];
  const groups = l.node.int('group', 1);
  const values = filled([w.data], 0).f32();
  const plane = kh * kw;
  const perGroup = inputs / groups;
  const turned = new Float32Array(values.length); // [group, output, input, kh, kw] from [input, output, kh, kw]
  for (let g = 0; g < groups; g++)
    for (let o = 0; o < each; o++)
      for (let i = 0; i < perGroup; i++)
        for (let k = 0; k < plane; k++)
          turned[((g * each + o) * perGroup + i) * plane + k] = values[((g * perGroup + i) * each + o) * plane + k]!;
  const [ph, pw, qh, qw] = mode === 'VALID' ? [0, 0, 0, 0] : l.node.ints('pads', [0, 0, 0, 0]);
  const [sh, sw] = l.node.ints('strides', [1, 1]);
  const [dh, dw] = l.node.ints('dilations', [1, 1]);
  const [oh, ow] = l.node.ints('output_padding', [0, 0]);
  const bias = l.inputs[2]?.data?.f32();
  const settings = [groups * each, kw, dw, sw, pw, bias ? 1 : 0, values.length, groups];
  const output = net.free(y.name);
  const more = { 11: kh, 12: dh, 13: sh, 14: ph, 15: qw, 16: qh, 18: ow, 19: oh };
  const all = Object.fromEntries([...settings.entries(), ...Object.entries(more)].map(([k, v]) => [k, int(v ?? 0)]));
  const type = groups > 1 ? 'DeconvolutionDepthWise' : 'Deconvolution';
  net.row(type, l.name, [net.blob(x)], [output], { ...all, ...(l.clamp ? clampSettings(l.clamp) : {}) });
  net.weights(turned);
  if (bias) net.floats(bias);
  net.holds(y, output);
  return undefined;
}

export function gemm(l: Layer, net: NcnnNet): string | undefined {
  const [x, w] = [filled(l.inputs, 0), filled(l.inputs, 1)];
  const c = l.inputs[2];
  if (!w.data) return 'its second operand is not a constant';
  if (l.node.int('transA', 0) === 1) return 'its first operand is transposed';
  const rows = item(filled(l.outputs, 0).shape, 1);
  if (c && (!c.data || (c.data.size !== rows && c.data.size !== 1)))
    return 'its third operand is not one constant for each column';
  const given = c?.data?.f32();
  const beta = l.node.float('beta', 1);
  const bias = given && Float32Array.from({ length: rows }, (_, i) => item(given, given.length === 1 ? 0 : i) * beta);
  return innerProduct(l, net, x, w, l.node.int('transB', 0) === 1, l.node.float('alpha', 1), bias);
}

export function matMul(l: Layer, net: NcnnNet): string | undefined {
  const [a, b] = [filled(l.inputs, 0), filled(l.inputs, 1)];
  const y = filled(l.outputs, 0);
  if (b.data?.dims.length === 2 && !a.data) return innerProduct(l, net, a, b, false, 1, undefined);
  const rank = Math.max(sizesOf(y).length, 2);
  const refused = operandRefused(a, rank) ?? operandRefused(b, rank);
  if (refused !== undefined) return refused;
  if (Math.min(a.shape.length, b.shape.length) < 2) return 'an operand is a vector';
  const made = net.add('MatMul', y.name, [operand(net, a, rank), operand(net, b, rank)]);
  net.holds(y, made);
  return undefined;
}

/** y = factor · x · wᵀ + bias for weights [rows, columns], or w as [columns, rows] where they are not `turned`. */
function innerProduct(
  l: Layer,
  net: NcnnNet,
  x: Edge,
  w: Edge,
  turned: boolean,
  factor: number,
  bias: Float32Array | undefined,
): string | undefined {
  const y = filled(l.outputs, 0);
  const dims = filled([w.data], 0).dims;
  const [rows, columns] = turned ? [item(dims, 0), item(dims, 1)] : [item(dims, 1), item(dims, 0)];
  const coded = l.coded.get(1);
  const turn = <T extends Float32Array | Int8Array>(from: T): T => {
    if (turned) return from;
    const to = from.slice() as T; // a copy of the same type
    for (let o = 0; o < rows; o++) for (let i = 0; i < columns; i++) to[o * columns + i] = from[i * rows + o]!;
    return to;
  };
  const values = turn(
    filled([w.data], 0)
      .f32()
      .map((v) => v * factor),
  );
  const plain = rowsOf(values, rows, coded, x, factor);
  const given = plain.codes ? { ...plain, codes: { ...plain.codes, codes: turn(plain.codes.codes) } } : plain;
  const made = folded({ rows: given, bias, clamp: l.clamp }, heldOf(x), heldOf(y));
  const [from, to] = [sizesOf(x), sizesOf(y)];
  const flat = from.length > 2 ? [from.slice(0, -1).reduce((n, d) => n * d, 1), columns] : from;
  const input = reshaped(net, net.blob(x), from, flat, `${l.name}_rows`);
  const output = net.free(y.name);
  const name = net.row('InnerProduct', l.name, [input], [output], {
    0: int(rows),
    1: int(made.bias ? 1 : 0),
    2: int(values.length),
    ...(given.codes ? { 8: int(2) } : {}),
    ...(made.clamp ? clampSettings(made.clamp) : {}),
  });
  writeWeights(net, name, { ...made, groups: 1, name }, 1);
  net.holds(y, reshaped(net, output, from.length > 2 ? [...flat.slice(0, 1), rows] : to, to, y.name));
  return undefined;
}
