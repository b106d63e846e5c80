/** Reductions over axes, and softmax and its kind along one. */
import { item } from '../../../base/lists.js';
import type { Node } from '../../../ir/graph.js';
import { fromStart } from '../../../rewrite/facts.js';
import { ACTIVATION, TENSOR_TYPES } from '../schema.js';
import { FLOAT } from '../model-writer.js';
import type { LayerWriter, Rule } from '../layer-writer.js';
import { sizeOf, type LiteTensor } from '../tensors.js';

type Reducer = 'MEAN' | 'SUM' | 'REDUCE_MAX' | 'REDUCE_MIN' | 'REDUCE_PROD';

/** The axes that a node reduces: none where it does nothing. */
function reducedAxes(w: LayerWriter): readonly number[] {
  const { shape } = w.edge(0);
  const given = w.list('axes', 1);
  if (given?.length) return given.map((a) => fromStart(a, shape.length));
  return w.node.int('noop_with_empty_axes', 0) === 1 ? [] : shape.map((_, i) => i);
}
const reduce =
  (
    op: Reducer,
    before?: (w: LayerWriter, x: LiteTensor) => LiteTensor,
    after?: (w: LayerWriter, y: LiteTensor) => LiteTensor,
  ) =>
  (w: LayerWriter): void => {
    const axes = reducedAxes(w);
    const x = before ? before(w, w.real(0)) : w.real(0);
    const made = axes.length ? w.op(op, [x, w.ints(axes)], { keepDims: w.node.int('keepdims', 1) === 1 }) : x;
    w.give(after ? after(w, made) : made);
  };
const reduction = (...how: Parameters<typeof reduce>): Rule => ({ codes: 'none', write: reduce(...how) });
const square = (w: LayerWriter, x: LiteTensor): LiteTensor => w.float('SQUARE', [x], {});
const abs = (w: LayerWriter, x: LiteTensor): LiteTensor => w.float('ABS', [x], {});
const sqrt = (w: LayerWriter, x: LiteTensor): LiteTensor => w.float('SQRT', [x], {});
const log = (w: LayerWriter, x: LiteTensor): LiteTensor => w.float('LOG', [x], {});

/** m + ln Σ e^(x − m), with the greatest x as m. */
const logSumExp: Rule = {
  codes: 'none',
  write(w) {
    const x = w.real(0);
    const axes = reducedAxes(w);
    const kept = x.shape.map((d, i) => (axes.includes(i) ? 1 : d));
    const none = { activation: ACTIVATION.NONE };
    const top = w.float('REDUCE_MAX', [x, w.ints(axes)], { keepDims: true }, kept);
    const powers = w.float('EXP', [w.float('SUB', [x, top], none)], {});
    const sum = log(w, w.float('SUM', [powers, w.ints(axes)], { keepDims: true }, kept));
    w.give(w.reshaped(w.float('ADD', [sum, top], none), w.out().shape));
  },
};

const extreme = (op: 'ARG_MAX' | 'ARG_MIN'): Rule => ({
  codes: 'none',
  refuses: (node) => (node.int('select_last_index', 0) === 1 ? `${op} gives the first of equal places` : undefined),
  write(w) {
    const axis = w.axis(0);
    const x = w.real(0);
    const shape = x.shape.filter((_, i) => i !== axis);
    const place = w.ints([axis]);
    const made = w.model.op(op, [x, place], { type: 'int64' }, shape, { outputType: TENSOR_TYPES.int64 }, w.name);
    w.give(w.reshaped(made, w.out().shape));
  },
});

/** Along the last axis, in codes of a scale that the kernel has fixed. */
const alongLast = (op: 'SOFTMAX' | 'LOG_SOFTMAX', codes: Rule['codes']): Rule => ({
  codes,
  write(w) {
    const { shape } = w.edge(0);
    const rank = shape.length;
    const axis = w.axis(w.opset < 13 ? 1 : -1);
    const x = w.input(0);
    const kind = w.onCodes
      ? ({ type: 'int8', quant: { scale: [1 / 256], zeroPoint: [-128], axis: 0 } } as const)
      : FLOAT;
    const apply = (t: LiteTensor): LiteTensor =>
      op === 'SOFTMAX'
        ? w.model.op(op, [t], kind, t.shape, { beta: 1 }, w.out().name)
        : w.model.op(op, [t], kind, t.shape, {}, w.out().name);
    if (axis === rank - 1) w.give(apply(x));
    else if (w.opset < 13) {
      // all axes from that on, as one
      const flat = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis))];
      w.give(w.reshaped(apply(w.reshaped(x, flat)), shape));
    } else {
      const perm = [...shape.keys()].map((i) => (i === axis ? rank - 1 : i === rank - 1 ? axis : i));
      w.give(w.transposed(apply(w.transposed(x, perm)), perm));
    }
  },
});

const topK: Rule = {
  codes: 'none',
  refuses: (node: Node) => (node.int('largest', 1) === 0 ? 'TOPK_V2 gives the greatest only' : undefined),
  write(w) {
    const rank = w.edge(0).shape.length;
    const axis = w.axis(-1);
    if (axis !== rank - 1) w.refuse('TOPK_V2 works along the last axis');
    const values = w.layer.outputs[0] ?? w.layer.outputs[1];
    const shape = values?.shape ?? w.refuse('nothing of it is used');
    const count = w.model.ints([item(shape, axis)], []);
    const x = w.real(0);
    const [best, places] = w.model.ops(
      'TOPK_V2',
      [x, count],
      [
        { kind: x, shape },
        { kind: { type: 'int32' }, shape },
      ],
      {},
      w.name,
    );
    if (best && w.layer.outputs[0]) w.give(best, 0);
    if (!places || !w.layer.outputs[1]) return;
    const options = { from: TENSOR_TYPES.int32, to: TENSOR_TYPES.int64 };
    w.give(w.model.op('CAST', [places], { type: 'int64' }, shape, options, w.name), 1);
  },
};

const cumSum: Rule = {
  codes: 'none',
  refuses: (node) => (node.inputs[1]?.data ? undefined : 'its axis is not constant'),
  write(w) {
    const axis = fromStart(item(w.numbers(1), 0), w.edge(0).shape.length);
    const options = { exclusive: w.node.int('exclusive', 0), reverse: w.node.int('reverse', 0) };
    w.give(w.op('CUMSUM', [w.real(0), w.ints([axis], [])], options));
  },
};

export const reductions: Readonly<Record<string, Rule>> = {
  ReduceMean: reduction('MEAN'),
  ReduceSum: reduction('SUM'),
  ReduceMax: reduction('REDUCE_MAX'),
  ReduceMin: reduction('REDUCE_MIN'),
  ReduceProd: reduction('REDUCE_PROD'),
  ReduceL1: reduction('SUM', abs),
  ReduceL2: reduction('SUM', square, sqrt),
  ReduceSumSquare: reduction('SUM', square),
  ReduceLogSum: reduction('SUM', undefined, log),
  ReduceLogSumExp: logSumExp,
  ArgMax: extreme('ARG_MAX'),
  ArgMin: extreme('ARG_MIN'),
  Softmax: alongLast('SOFTMAX', 'own'),
  LogSoftmax: alongLast('LOG_SOFTMAX', 'none'),
  TopK: topK,
  CumSum: cumSum,
};
