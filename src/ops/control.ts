/** Constants, control flow and recurrent cells. https://onnx.ai/onnx/operators/onnx__If.html, onnx__LSTM.html */
import type { Dim } from '../ir/graph.js';
import { elementCount } from '../ir/tensor.js';
import { recurrentCell } from './linear.js';
import { axisOf, PLAIN, sizeOf, STEPS, UNKNOWN, type InferContext, type Known, type OpSpec } from './spec.js';

export const constant = {
  op: 'Constant',
  domain: '',
  since: 1,
  doc: 'A value written in the node.',
  foldable: true,
  cost: 'free',
  quant: { role: 'float', because: 'a constant' },
  ...STEPS,
  infer(ctx) {
    const a = [...ctx.node.attrs.values()][0];
    switch (a?.type) {
      case 'tensor':
        return [
          {
            dtype: a.value.dtype,
            shape: a.value.dims,
            ints:
              a.value.dtype === 'int64' && elementCount(a.value.dims) <= 4096
                ? a.value.numbersOrUndefined()
                : undefined,
          },
        ];
      case 'int':
        return [{ dtype: 'int64', shape: [], ints: [Number(a.value)] }];
      case 'ints':
        return [{ dtype: 'int64', shape: [a.value.length], ints: a.value.map(Number) }];
      case 'float':
        return [{ dtype: 'float32', shape: [] }];
      case 'floats':
        return [{ dtype: 'float32', shape: [a.value.length] }];
      case 'string':
        return [{ dtype: 'string', shape: [] }];
      case 'strings':
        return [{ dtype: 'string', shape: [a.value.length] }];
      default:
        return [UNKNOWN];
    }
  },
} satisfies OpSpec;

/** What holds for both branches: equal facts stay, others become unknown. */
function meet(a: Known, b: Known): Known {
  const dtype = a.dtype === b.dtype ? a.dtype : undefined;
  if (!a.shape || !b.shape || a.shape.length !== b.shape.length) return { dtype, shape: undefined };
  return { dtype, shape: a.shape.map((d, i) => (d === b.shape![i] ? d : null)) };
}

export const ifOp = {
  op: 'If',
  domain: '',
  since: 1,
  doc: 'Runs one of two subgraphs.',
  foldable: true,
  cost: 'free',
  quant: { role: 'float', because: 'control flow' },
  ...PLAIN,
  infer(ctx) {
    const [a, b] = [ctx.subgraph('then_branch'), ctx.subgraph('else_branch')];
    return a.map((k, i) => (b[i] ? meet(k, b[i]) : k));
  },
} satisfies OpSpec;

export const loop = {
  op: 'Loop',
  domain: '',
  since: 1,
  doc: 'Repeats a subgraph.',
  foldable: false,
  cost: 'free',
  quant: { role: 'float', because: 'control flow' },
  ...PLAIN,
  infer(ctx) {
    const body = ctx.subgraph('body').slice(1);
    const carried = ctx.node.inputs.length - 2;
    return ctx.node.outputs.map((_, i) => {
      const k = body[i];
      if (!k) return UNKNOWN;
      return i < carried
        ? { dtype: k.dtype, shape: undefined }
        : { dtype: k.dtype, shape: k.shape && [null, ...k.shape] };
    });
  },
} satisfies OpSpec;

export const scan = {
  op: 'Scan',
  domain: '',
  since: 8,
  doc: 'Runs a subgraph over slices.',
  foldable: false,
  cost: 'free',
  quant: { role: 'float', because: 'control flow' },
  ...PLAIN,
  infer(ctx) {
    const body = ctx.subgraph('body');
    const scanned = ctx.node.int('num_scan_inputs', 1);
    const states = ctx.node.inputs.length - scanned;
    // Before opset 9 everything had a batch, and lengths were an input.
    if (ctx.opset < 9 || states < 0)
      return ctx.node.outputs.map((_, i) => ({ dtype: body[i]?.dtype, shape: undefined }));
    const axes = ctx.node.ints('scan_input_axes', []);
    const over = Array.from({ length: scanned }, (_, i) => ctx.input(states + i)?.shape?.at(axes[i] ?? 0) ?? null);
    const length = over.find((d) => typeof d === 'number') ?? over[0] ?? null;
    return ctx.node.outputs.map((_, i) => {
      const { dtype, shape } = body[i] ?? UNKNOWN;
      if (i < states || !shape) return { dtype, shape };
      const axis = axisOf(ctx, ctx.node.ints('scan_output_axes', [])[i - states] ?? 0, shape.length + 1);
      return { dtype, shape: [...shape.slice(0, axis), length, ...shape.slice(axis)] };
    });
  },
} satisfies OpSpec;

function recurrent(op: 'LSTM' | 'GRU' | 'RNN', gates: number, states: number): OpSpec {
  return {
    op,
    domain: '',
    since: 1,
    doc: `${op} cell over a sequence.`,
    foldable: true,
    quant: { role: 'float', because: `${op} has no static integer kernel` },
    linear: recurrentCell,
    links: 'opaque',
    gradient: 'unsupported',
    infer(ctx: InferContext) {
      const x = ctx.input(0);
      const hidden: Dim = ctx.node.attrs.has('hidden_size') ? ctx.node.int('hidden_size') : null;
      const directions = ctx.node.string('direction', 'forward') === 'bidirectional' ? 2 : 1;
      const batchFirst = ctx.node.int('layout', 0) === 1;
      if (x?.shape?.length !== 3) return ctx.node.outputs.map(() => ({ dtype: x?.dtype, shape: undefined }));
      const [a, b] = [x.shape[0] ?? null, x.shape[1] ?? null];
      const y = batchFirst ? [a, b, directions, hidden] : [a, directions, b, hidden];
      const h = batchFirst ? [a, directions, hidden] : [directions, b, hidden];
      return [{ dtype: x.dtype, shape: y }, ...Array.from({ length: states }, () => ({ dtype: x.dtype, shape: h }))];
    },
    cost: ([x, w, r]) => ({
      macs: sizeOf(x?.shape?.slice(0, 2)) * (sizeOf(w?.shape) + sizeOf(r?.shape)),
      otherOps: sizeOf(x?.shape?.slice(0, 2)) * sizeOf(r?.shape?.slice(0, 1)) * sizeOf(r?.shape?.slice(-1)) * gates,
    }),
  };
}
export const controlOps: readonly OpSpec[] = [
  constant,
  ifOp,
  loop,
  scan,
  recurrent('LSTM', 4, 2),
  recurrent('GRU', 3, 1),
  recurrent('RNN', 1, 1),
];
