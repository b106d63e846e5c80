/** Convolutions: https://onnx.ai/onnx/operators/onnx__Conv.html, onnx__ConvTranspose.html */
import type { Dim, Node, Shape } from '../ir/graph.js';
import * as gradients from './gradients/conv.js';
import { depthToSpace as depthToSpaceGradient, spaceToDepth as spaceToDepthGradient } from './gradients/move.js';
import { convolution, transposedConvolution } from './linear.js';
import { sizeOf, UNKNOWN, type InferContext, type Known, type OpSpec } from './spec.js';

/** Spatial output sizes of a sliding window (Conv and pooling). */
export function windowSizes(node: Node, input: Shape, kernel: readonly number[], ceil = false): Dim[] {
  const spatial = input.slice(2);
  const strides = node.ints(
    'strides',
    spatial.map(() => 1),
  );
  const dilations = node.ints(
    'dilations',
    spatial.map(() => 1),
  );
  const pads = node.ints(
    'pads',
    spatial.flatMap(() => [0, 0]),
  );
  const auto = node.string('auto_pad', 'NOTSET');
  return spatial.map((d, i) => {
    if (typeof d !== 'number') return null;
    const stride = strides[i] ?? 1;
    const reach = ((kernel[i] ?? 1) - 1) * (dilations[i] ?? 1) + 1;
    if (auto === 'SAME_UPPER' || auto === 'SAME_LOWER') return Math.ceil(d / stride);
    const begin = auto === 'VALID' ? 0 : (pads[i] ?? 0);
    const end = auto === 'VALID' ? 0 : (pads[i + spatial.length] ?? 0);
    const steps = (d + begin + end - reach) / stride;
    let out = (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
    if (ceil && (out - 1) * stride >= d + begin) out--; // a window that starts in the end padding does not count
    return Math.max(0, out);
  });
}

export function inferConv(ctx: InferContext, dataInput: number, weightInput: number): readonly Known[] {
  const x = ctx.input(dataInput);
  const w = ctx.input(weightInput);
  if (!x?.shape || !w?.shape) return [{ dtype: x?.dtype, shape: undefined }];
  const kernel = ctx.node.ints(
    'kernel_shape',
    w.shape.slice(2).map((d) => (typeof d === 'number' ? d : 1)),
  );
  return [
    { dtype: x.dtype, shape: [x.shape[0] ?? null, w.shape[0] ?? null, ...windowSizes(ctx.node, x.shape, kernel)] },
  ];
}

/** MACs of a convolution: output elements × (input channels / group × kernel). */
export function convMacs(weight: Shape | undefined, output: Shape | undefined): number {
  return sizeOf(output) * sizeOf(weight?.slice(1));
}

export const conv = {
  op: 'Conv',
  domain: '',
  since: 1,
  doc: 'Convolution.',
  foldable: true,
  infer: (ctx) => inferConv(ctx, 0, 1),
  cost: ([, w], [y]) => ({ macs: convMacs(w?.shape, y?.shape), otherOps: 0 }),
  quant: {
    role: 'compute',
    activations: [0],
    weight: 1,
    bias: 2,
    qlinear: { op: 'QLinearConv', domain: '', form: 'conv' },
    channelAxis: () => 0,
  },
  linear: convolution,
  links: 'opaque',
  gradient: gradients.conv,
} satisfies OpSpec;

/**
 * onnxruntime's convolution with an activation behind it and a sum before that. source:
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.FusedConv
 */
export const fusedConv = {
  op: 'FusedConv',
  domain: 'com.microsoft',
  since: 1,
  doc: 'Convolution with an activation.',
  foldable: true,
  infer: (ctx) => inferConv(ctx, 0, 1),
  cost: ([, w], [y]) => ({ macs: convMacs(w?.shape, y?.shape), otherOps: sizeOf(y?.shape) }),
  quant: { role: 'float', because: 'quantize the model before its activations are fused' },
  linear: () => ({ because: 'its weights feed an activation that is part of it' }),
  links: 'opaque',
  gradient: 'unsupported',
} satisfies OpSpec;

export const convTranspose = {
  op: 'ConvTranspose',
  domain: '',
  since: 1,
  doc: 'Transposed convolution.',
  foldable: true,
  infer(ctx) {
    const x = ctx.input(0);
    const w = ctx.input(1);
    if (!x?.shape || !w?.shape) return [{ dtype: x?.dtype, shape: undefined }];
    const node = ctx.node;
    const group = node.int('group', 1);
    const spatial = x.shape.slice(2);
    const kernel = node.ints(
      'kernel_shape',
      w.shape.slice(2).map((d) => (typeof d === 'number' ? d : 1)),
    );
    const strides = node.ints(
      'strides',
      spatial.map(() => 1),
    );
    const dilations = node.ints(
      'dilations',
      spatial.map(() => 1),
    );
    const pads = node.ints(
      'pads',
      spatial.flatMap(() => [0, 0]),
    );
    const extra = node.ints(
      'output_padding',
      spatial.map(() => 0),
    );
    const fixed = node.ints('output_shape', []);
    const auto = node.string('auto_pad', 'NOTSET');
    const sizes = spatial.map((d, i) => {
      if (fixed.length) return fixed[i + fixed.length - spatial.length] ?? null;
      if (typeof d !== 'number') return null;
      if (auto.startsWith('SAME')) return d * (strides[i] ?? 1);
      const pad = auto === 'VALID' ? 0 : (pads[i] ?? 0) + (pads[i + spatial.length] ?? 0);
      return (strides[i] ?? 1) * (d - 1) + (extra[i] ?? 0) + ((kernel[i] ?? 1) - 1) * (dilations[i] ?? 1) + 1 - pad;
    });
    const perGroup = w.shape[1];
    return [
      { dtype: x.dtype, shape: [x.shape[0] ?? null, typeof perGroup === 'number' ? perGroup * group : null, ...sizes] },
    ];
  },
  cost: ([x, w]) => ({ macs: sizeOf(x?.shape) * sizeOf(w?.shape?.slice(1)), otherOps: 0 }),
  quant: {
    role: 'compute',
    activations: [0],
    weight: 1,
    bias: 2,
    channelAxis: (node) =>
      node.int('group', 1) === 1 ? 1 : { float: 'a grouped ConvTranspose has no single channel axis' },
  },
  linear: transposedConvolution,
  links: 'opaque',
  gradient: gradients.convTranspose,
} satisfies OpSpec;

export const depthToSpace = {
  op: 'DepthToSpace',
  domain: '',
  since: 1,
  doc: 'Moves channels into blocks of space.',
  foldable: true,
  infer(ctx) {
    const x = ctx.input(0);
    const s = x?.shape;
    const b = ctx.node.int('blocksize');
    if (s?.length !== 4) return [{ dtype: x?.dtype, shape: undefined }];
    const scale = (d: Dim | undefined, k: number): Dim => (typeof d === 'number' ? d * k : null);
    return [{ dtype: x?.dtype, shape: [s[0] ?? null, scale(s[1], 1 / (b * b)), scale(s[2], b), scale(s[3], b)] }];
  },
  cost: 'free',
  quant: { role: 'passthrough', data: [0] },
  linear: 'no',
  links: 'opaque',
  gradient: depthToSpaceGradient,
} satisfies OpSpec;

export const spaceToDepth = {
  op: 'SpaceToDepth',
  domain: '',
  since: 1,
  doc: 'Moves blocks of space into channels.',
  foldable: true,
  infer(ctx) {
    const x = ctx.input(0);
    const s = x?.shape;
    const b = ctx.node.int('blocksize');
    if (s?.length !== 4) return [{ ...UNKNOWN, dtype: x?.dtype }];
    const scale = (d: Dim | undefined, k: number): Dim => (typeof d === 'number' ? d * k : null);
    return [{ dtype: x?.dtype, shape: [s[0] ?? null, scale(s[1], b * b), scale(s[2], 1 / b), scale(s[3], 1 / b)] }];
  },
  cost: 'free',
  quant: { role: 'passthrough', data: [0] },
  linear: 'no',
  links: 'opaque',
  gradient: spaceToDepthGradient,
} satisfies OpSpec;
