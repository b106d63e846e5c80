/** Pooling and resizing: https://onnx.ai/onnx/operators/onnx__MaxPool.html and neighbours. */
import type { Shape } from '../ir/graph.js';
import { windowSizes } from './conv.js';
import * as gradients from './gradients/pool.js';
import { resize as resizeGradient } from './gradients/resize.js';
import { image } from './links.js';
import { resize as resizeRefit } from './refits.js';
import { axisOf, numbersOf, qlinearEach, sizeOf, type InferContext, type Known, type OpSpec } from './spec.js';

function inferPool(ctx: InferContext): Known[] {
  const x = ctx.input(0);
  if (!x?.shape) return [{ dtype: x?.dtype, shape: undefined }];
  const kernel = ctx.node.ints('kernel_shape');
  return [
    {
      dtype: x.dtype,
      shape: [...x.shape.slice(0, 2), ...windowSizes(ctx.node, x.shape, kernel, ctx.node.int('ceil_mode', 0) === 1)],
    },
  ];
}
const windowCost: OpSpec['cost'] = (_i, [y], node) => ({
  macs: 0,
  otherOps: sizeOf(y?.shape) * sizeOf(node.ints('kernel_shape')),
});

export const maxPool = {
  op: 'MaxPool',
  domain: '',
  since: 1,
  doc: 'Maximum over a sliding window.',
  foldable: true,
  linear: 'no',
  links: image,
  gradient: { rule: gradients.maxPool, outputs: 2 },
  infer: (ctx) => {
    const [y] = inferPool(ctx);
    return [y!, { dtype: 'int64', shape: y?.shape }];
  },
  cost: windowCost,
  quant: {
    role: 'passthrough',
    data: [0],
    when: (node) =>
      node.outputs.length > 1 && node.outputs[1]?.name ? 'MaxPool with indices has no integer form' : true,
  },
} satisfies OpSpec;

export const averagePool = {
  op: 'AveragePool',
  domain: '',
  since: 1,
  doc: 'Mean over a sliding window.',
  foldable: true,
  linear: 'no',
  links: image,
  gradient: gradients.averagePool,
  infer: inferPool,
  cost: windowCost,
  quant: { role: 'arithmetic', inputs: [0], qlinear: qlinearEach('QLinearAveragePool') },
} satisfies OpSpec;

export const lpPool = {
  op: 'LpPool',
  domain: '',
  since: 1,
  doc: 'Lp norm over a sliding window.',
  foldable: true,
  linear: 'no',
  links: image,
  gradient: gradients.lpPool,
  infer: inferPool,
  cost: windowCost,
  quant: { role: 'float', because: 'no integer kernel' },
} satisfies OpSpec;

function inferGlobal(ctx: InferContext): Known[] {
  const x = ctx.input(0);
  return [{ dtype: x?.dtype, shape: x?.shape?.map((d, i) => (i < 2 ? d : 1)) }];
}
const globalCost: OpSpec['cost'] = ([x]) => ({ macs: 0, otherOps: sizeOf(x?.shape) });

export const globalAveragePool = {
  op: 'GlobalAveragePool',
  domain: '',
  since: 1,
  doc: 'Mean over all positions of a channel.',
  foldable: true,
  linear: 'no',
  links: image,
  gradient: gradients.globalAveragePool,
  infer: inferGlobal,
  cost: globalCost,
  quant: { role: 'arithmetic', inputs: [0], qlinear: qlinearEach('QLinearGlobalAveragePool') },
} satisfies OpSpec;

export const globalMaxPool = {
  op: 'GlobalMaxPool',
  domain: '',
  since: 1,
  doc: 'Maximum over all positions of a channel.',
  foldable: true,
  linear: 'no',
  links: image,
  gradient: gradients.globalMaxPool,
  infer: inferGlobal,
  cost: globalCost,
  quant: { role: 'float', because: 'no integer kernel' },
} satisfies OpSpec;

export const resize = {
  op: 'Resize',
  domain: '',
  since: 10,
  doc: 'Resampling by nearest, linear or cubic interpolation.',
  foldable: true,
  linear: 'no',
  links: { rule: image, refit: resizeRefit },
  gradient: resizeGradient,
  infer(ctx) {
    const x = ctx.input(0);
    const shape = x?.shape;
    const unknown = [{ dtype: x?.dtype, shape: shape?.map(() => null) }];
    if (!shape) return unknown;
    const axes = ctx.node
      .ints(
        'axes',
        shape.map((_, i) => i),
      )
      .map((a) => axisOf(ctx, a, shape.length));
    const sizes = ctx.node.inputs[3] ? numbersOf(ctx, 3) : undefined;
    const policy = ctx.node.string('keep_aspect_ratio_policy', 'stretch');
    const scalesInput = ctx.opset < 11 ? 1 : 2;
    const scales = ctx.constant(scalesInput);
    const out: Shape[number][] = [...shape];
    if (sizes && policy === 'stretch')
      axes.forEach((a, i) => {
        out[a] = sizes[i] ?? null;
      });
    else if (sizes) {
      // One factor for all of the axes: the least that some axis asks for, or the greatest.
      const factors = axes.map((a, i) => (sizes[i] ?? NaN) / Number(shape[a] ?? NaN));
      const factor = policy === 'not_larger' ? Math.min(...factors) : Math.max(...factors);
      for (const a of axes) out[a] = Math.round(factor * Number(shape[a] ?? NaN));
    } else if (scales?.size) {
      const s = scales.f32();
      axes.forEach((a, i) => {
        const d = shape[a];
        out[a] = typeof d === 'number' ? Math.floor(d * (s[i] ?? 1)) : s[i] === 1 ? (d ?? null) : null;
      });
    } else return unknown;
    return [{ dtype: x.dtype, shape: out }];
  },
  cost: (_i, [y]) => ({ macs: 0, otherOps: sizeOf(y?.shape) }),
  quant: {
    role: 'passthrough',
    data: [0],
    when: (node) =>
      node.string('mode', 'nearest') === 'nearest' ? true : 'interpolation between codes rounds differently',
  },
} satisfies OpSpec;

export const upsample = {
  op: 'Upsample',
  domain: '',
  since: 7,
  doc: 'Resampling (deprecated in favour of Resize).',
  foldable: true,
  linear: 'no',
  links: image,
  gradient: 'unsupported',
  infer(ctx) {
    const x = ctx.input(0);
    const scales = ctx.node.attrs.has('scales') ? undefined : ctx.constant(1)?.f32();
    const attr = ctx.node.attrs.get('scales');
    const s = attr?.type === 'floats' ? attr.value : scales;
    return [
      {
        dtype: x?.dtype,
        shape: x?.shape?.map((d, i) => {
          if (s?.[i] === 1) return d;
          return typeof d === 'number' && s ? Math.floor(d * (s[i] ?? 1)) : null;
        }),
      },
    ];
  },
  cost: (_i, [y]) => ({ macs: 0, otherOps: sizeOf(y?.shape) }),
  quant: {
    role: 'passthrough',
    data: [0],
    when: (node) =>
      node.string('mode', 'nearest') === 'nearest' ? true : 'interpolation between codes rounds differently',
  },
} satisfies OpSpec;
