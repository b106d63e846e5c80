/** Quantized ops, standard and ONNX Runtime's: enough to infer and to count what a quantized model does. */
import { dtypeFromCode, type DType } from '../ir/dtype.js';
import type { Shape } from '../ir/graph.js';
import {
  axisOf,
  broadcast,
  perElement,
  PLAIN,
  sizeOf,
  UNKNOWN,
  type InferContext,
  type Known,
  type OpSpec,
} from './spec.js';
import * as gradients from './gradients/quant.js';
import { convMacs, inferConv } from './conv.js';
import { matMulShape } from './matmul.js';

/** Of operators that only quantized models have. */
export const quantized = { role: 'float', because: 'already quantized' } as const;
const base = (op: string, domain: string, since: number, doc: string) => ({
  op,
  domain,
  since,
  doc,
  foldable: true,
  quant: quantized,
  ...PLAIN,
});
const MS = 'com.microsoft';
const zeroPointType = (k: Known | undefined, fallback: DType): DType => k?.dtype ?? fallback;

export const quantizeLinear = {
  ...base('QuantizeLinear', '', 10, 'x / scale rounded half to even, plus zero point, saturated.'),
  gradient: { rule: gradients.quantizeLinear, estimate: true },
  cost: perElement,
  infer: (ctx) => [
    {
      dtype: ctx.node.attrs.has('output_dtype')
        ? (dtypeFromCode(ctx.node.int('output_dtype')) ?? zeroPointType(ctx.input(2), 'uint8'))
        : zeroPointType(ctx.input(2), 'uint8'),
      shape: ctx.input(0)?.shape,
    },
  ],
} satisfies OpSpec;
export const dequantizeLinear = {
  ...base('DequantizeLinear', '', 10, '(q − zero point) · scale.'),
  gradient: gradients.dequantizeLinear,
  cost: perElement,
  infer: (ctx) => [{ dtype: ctx.input(1)?.dtype ?? 'float32', shape: ctx.input(0)?.shape }],
} satisfies OpSpec;

/** Infers for an image whose channels lie on its last axis as if they came second. Weights are laid out as ever. */
function channelsLast(ctx: InferContext, infer: (ctx: InferContext) => readonly Known[]): readonly Known[] {
  const turned = (shape: Shape | undefined): Shape | undefined =>
    shape && [...shape.slice(0, 1), ...shape.slice(-1), ...shape.slice(1, -1)];
  const x = ctx.input(0);
  return infer({ ...ctx, input: (i) => (i === 0 && x ? { ...x, shape: turned(x.shape) } : ctx.input(i)) }).map((y) => ({
    ...y,
    shape: y.shape && [...y.shape.slice(0, 1), ...y.shape.slice(2), ...y.shape.slice(1, 2)],
  }));
}

const matMulCost: OpSpec['cost'] = ([a], [y]) => ({
  macs: sizeOf(y?.shape) * sizeOf(a?.shape?.slice(-1)),
  otherOps: 0,
});
/** QLinear form of an elementwise op: inputs come as (value, scale, zero point) triples. */
const qlinear = (op: string, domain: string, operands: 1 | 2): OpSpec => ({
  ...base(op, domain, 1, 'Integer form of the float op.'),
  cost: perElement,
  infer: (ctx) => [
    {
      dtype: ctx.input(0)?.dtype,
      shape: operands === 1 ? ctx.input(0)?.shape : broadcast(ctx.input(0)?.shape, ctx.input(3)?.shape),
    },
  ],
});

export const quantOps: readonly OpSpec[] = [
  quantizeLinear,
  dequantizeLinear,
  {
    ...base('DynamicQuantizeLinear', '', 11, 'Quantizes to uint8 with a range found at run time.'),
    cost: perElement,
    infer: (ctx) => [
      { dtype: 'uint8', shape: ctx.input(0)?.shape },
      { dtype: 'float32', shape: [] },
      { dtype: 'uint8', shape: [] },
    ],
  },
  ...['', MS].map((domain): OpSpec => ({
    ...base('QLinearConv', domain, 1, 'Integer convolution.'),
    infer: (ctx) => [
      {
        ...(ctx.node.int('channels_last', 0) === 1
          ? channelsLast(ctx, (c) => inferConv(c, 0, 3))
          : inferConv(ctx, 0, 3))[0]!,
        dtype: ctx.input(0)?.dtype,
      },
    ],
    cost: (inputs, [y]) => ({ macs: convMacs(inputs[3]?.shape, y?.shape), otherOps: 0 }),
  })),
  {
    ...base('ConvInteger', '', 10, 'Integer convolution with int32 output.'),
    infer: (ctx) => [{ ...inferConv(ctx, 0, 1)[0]!, dtype: 'int32' }],
    cost: ([, w], [y]) => ({ macs: convMacs(w?.shape, y?.shape), otherOps: 0 }),
  },
  {
    ...base('MatMulInteger', '', 10, 'Integer matrix product with int32 output.'),
    cost: matMulCost,
    infer: (ctx) => [{ dtype: 'int32', shape: matMulShape(ctx.input(0)?.shape, ctx.input(1)?.shape) }],
  },
  {
    ...base('QLinearMatMul', '', 10, 'Integer matrix product.'),
    cost: matMulCost,
    infer: (ctx) => [
      {
        dtype: ctx.input(7)?.dtype ?? ctx.input(0)?.dtype,
        shape: matMulShape(ctx.input(0)?.shape, ctx.input(3)?.shape),
      },
    ],
  },
  {
    ...base('MatMulIntegerToFloat', MS, 1, 'Integer matrix product, scaled to float.'),
    cost: matMulCost,
    infer: (ctx) => [{ dtype: 'float32', shape: matMulShape(ctx.input(0)?.shape, ctx.input(1)?.shape) }],
  },
  {
    ...base('DynamicQuantizeMatMul', MS, 1, 'Quantizes its input at run time and multiplies.'),
    cost: matMulCost,
    infer: (ctx) => [{ dtype: 'float32', shape: matMulShape(ctx.input(0)?.shape, ctx.input(1)?.shape) }],
  },
  {
    ...base('QGemm', MS, 1, 'Integer Gemm.'),
    infer: (ctx) => [
      {
        dtype: ctx.input(7) ? (ctx.input(8)?.dtype ?? ctx.input(0)?.dtype) : 'float32',
        shape: [
          ctx.input(0)?.shape?.[ctx.node.int('transA', 0)] ?? null,
          ctx.input(3)?.shape?.[ctx.node.int('transB', 0) ? 0 : 1] ?? null,
        ],
      },
    ],
    cost: ([a], [y], node) => ({
      macs:
        sizeOf(y?.shape) *
        sizeOf(
          a?.shape?.[node.int('transA', 0) ? 0 : 1] === undefined
            ? undefined
            : [a.shape[node.int('transA', 0) ? 0 : 1]!],
        ),
      otherOps: 0,
    }),
  },
  {
    ...base('MatMulNBits', MS, 1, 'Matrix product with a weight of 2, 4 or 8 bits in blocks.'),
    infer: (ctx) => {
      const a = ctx.input(0)?.shape;
      return [{ dtype: ctx.input(0)?.dtype, shape: a && [...a.slice(0, -1), ctx.node.int('N')] }];
    },
    cost: ([a], _outputs, node) => ({ macs: sizeOf(a?.shape) * node.int('N'), otherOps: 0 }),
  },
  {
    ...base('GatherBlockQuantized', MS, 1, 'Looks up rows of a table of 2, 4 or 8 bits in blocks.'),
    infer: (ctx) => {
      const [data, indices] = [ctx.input(0), ctx.input(1)?.shape];
      const codes = data?.dtype === 'uint8' ? 8 / ctx.node.int('bits', 4) : 1; // of a byte
      const axis = data?.shape ? axisOf(ctx, ctx.node.int('gather_axis', 0), data.shape.length) : 0;
      const rows = data?.shape?.map((d, i, all) => (i === all.length - 1 && typeof d === 'number' ? d * codes : d));
      return [
        {
          dtype: ctx.input(2)?.dtype,
          shape: rows && indices && [...rows.slice(0, axis), ...indices, ...rows.slice(axis + 1)],
        },
      ];
    },
    cost: perElement,
  },
  qlinear('QLinearAdd', MS, 2),
  qlinear('QLinearMul', MS, 2),
  qlinear('QLinearSigmoid', MS, 1),
  qlinear('QLinearLeakyRelu', MS, 1),
  qlinear('QLinearSoftmax', MS, 1),
  {
    ...qlinear('QLinearGlobalAveragePool', MS, 1),
    infer(ctx) {
      const { dtype, shape } = ctx.input(0) ?? UNKNOWN;
      const channels = ctx.node.int('channels_last', 0) === 1 ? (shape?.length ?? 0) - 1 : 1;
      return [{ dtype, shape: shape?.map((d, i) => (i === 0 || i === channels ? d : 1)) }];
    },
  },
];
