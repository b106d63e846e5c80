/** Recurrent cells step by step, so that gradients go back through them. */
import { item } from '../base/lists.js';
import type { Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { isCell } from '../ops/index.js';
import { GraphBuilder } from '../rewrite/builder.js';

/** What a cell has at one step: activations of the gates that come from its input, and the state before. */
interface Step {
  readonly b: GraphBuilder;
  readonly node: Node;
  /** [batch, gates · hidden]: W · x, with the biases that are only added. */
  readonly input: Value;
  /** [hidden, gates · hidden] */
  readonly recurrent: Value;
  /** Of the recurrent part alone, where it is not only added: [gates · hidden]. */
  readonly bias: Value | undefined;
  readonly h: Value;
  readonly c: Value | undefined;
  readonly hidden: number;
}
interface State {
  readonly h: Value;
  readonly c: Value | undefined;
}
interface Cell {
  readonly gates: number;
  readonly activations: string;
  /** source: https://onnx.ai/onnx/operators/onnx__LSTM.html, onnx__GRU.html, onnx__RNN.html */
  step(s: Step): State;
}

const op = ({ b, node }: Pick<Step, 'b' | 'node'>, name: string, ...inputs: Value[]): Value =>
  b.op(name, inputs, { name: `${node.outputs[0]?.name ?? node.op}_step` });
const columns = (s: Step, v: Value, from: number, to: number): Value =>
  s.b.op('Slice', [v, ints(s.b, [from * s.hidden]), ints(s.b, [to * s.hidden]), ints(s.b, [-1])], {
    name: `${s.node.op}_gate`,
  });
const ints = (b: GraphBuilder, values: readonly number[]): Value => b.constant(Tensor.i64(values), 'cell_sizes');

const CELLS: Readonly<Record<string, Cell>> = {
  LSTM: {
    gates: 4,
    activations: 'sigmoid tanh tanh',
    step(s) {
      const all = op(s, 'Add', s.input, op(s, 'MatMul', s.h, s.recurrent));
      const [i, o, f] = [0, 1, 2].map((k) => op(s, 'Sigmoid', columns(s, all, k, k + 1))) as [Value, Value, Value]; // 3
      const candidate = op(s, 'Tanh', columns(s, all, 3, 4));
      const c = op(s, 'Add', op(s, 'Mul', f, s.c ?? s.h), op(s, 'Mul', i, candidate));
      return { h: op(s, 'Mul', o, op(s, 'Tanh', c)), c };
    },
  },
  GRU: {
    gates: 3,
    activations: 'sigmoid tanh',
    step(s) {
      const linear = s.node.int('linear_before_reset', 0) !== 0;
      const before = (from: number, to: number, h: Value): Value => {
        const product = op(s, 'MatMul', h, columns(s, s.recurrent, from, to));
        return s.bias ? op(s, 'Add', product, columns(s, s.bias, from, to)) : product;
      };
      const gates = op(s, 'Sigmoid', op(s, 'Add', columns(s, s.input, 0, 2), before(0, 2, s.h)));
      const [z, r] = [columns(s, gates, 0, 1), columns(s, gates, 1, 2)];
      const reset = linear ? op(s, 'Mul', r, before(2, 3, s.h)) : before(2, 3, op(s, 'Mul', r, s.h));
      const candidate = op(s, 'Tanh', op(s, 'Add', columns(s, s.input, 2, 3), reset));
      // (1 − z) · candidate + z · h
      const h = op(s, 'Add', candidate, op(s, 'Mul', z, op(s, 'Sub', s.h, candidate)));
      return { h, c: undefined };
    },
  },
  RNN: {
    gates: 1,
    activations: 'tanh',
    step: (s) => ({ h: op(s, 'Tanh', op(s, 'Add', s.input, op(s, 'MatMul', s.h, s.recurrent))), c: undefined }),
  },
};

/**
 * The steps of a recurrent cell, as many as the sequence is long. A cell with other activations than the usual, with
 * clipping, peepholes, or lengths of sequences stays as it is. Needs inferred shapes.
 */
export function unrollCell(model: Model, node: Node): Value[] | undefined {
  const cell = isCell(node) ? CELLS[node.op] : undefined;
  return cell && usual(node, cell) ? unrolled(new GraphBuilder(model), node, cell) : undefined;
}

function usual(node: Node, { activations, gates }: Cell): boolean {
  const given = node.attrs.get('activations');
  const names = given?.type === 'strings' ? given.value.map((v) => String(v).toLowerCase()) : undefined;
  const directions = node.string('direction', 'forward') === 'bidirectional' ? 2 : 1;
  const wanted = Array<string>(directions).fill(activations).join(' ');
  return (
    (!names || names.join(' ') === wanted) &&
    !node.attrs.has('clip') &&
    node.int('input_forget', 0) === 0 &&
    !node.inputs[4] &&
    !(gates === 4 && node.inputs[7])
  );
}

/** Y, Y_h and, of an LSTM, Y_c; undefined where a size is not known. */
function unrolled(b: GraphBuilder, node: Node, cell: Cell): Value[] | undefined {
  const [x, w, r] = node.inputs;
  const hidden = r?.shape?.[2];
  if (!x?.shape || !w || !r || typeof hidden !== 'number' || !x.shape.every((d) => typeof d === 'number'))
    return undefined;
  const name = node.outputs[0]?.name || node.op;
  const make = (kind: string, ...inputs: (Value | null)[]): Value => b.op(kind, inputs, { name });
  const turn = (v: Value, perm: readonly number[]): Value => b.op('Transpose', [v], { attrs: { perm }, name });
  const view = (v: Value, sizes: readonly number[]): Value => make('Reshape', v, ints(b, sizes));
  const batchFirst = node.int('layout', 0) === 1;
  const data = batchFirst ? turn(x, [1, 0, 2]) : x;
  const [length = 0, batch = 0] = (data.shape ?? []).map(Number);
  const direction = node.string('direction', 'forward');
  const ways = direction === 'bidirectional' ? ['forward', 'reverse'] : [direction];
  const of = (v: Value, way: number): Value => {
    const one = ways.length === 1 ? v : make('Slice', v, ints(b, [way]), ints(b, [way + 1]), ints(b, [0]));
    return make('Squeeze', one, ints(b, [0]));
  };
  const start = (v: Value | null | undefined, way: number): Value => {
    if (v) return of(batchFirst ? turn(v, [1, 0, 2]) : v, way);
    return b.constant(Tensor.f32(new Float32Array(batch * hidden), [batch, hidden]), `${name}_start`);
  };
  const ended = ways.map((way, k) => {
    const [wide, bias] = [of(w, k), node.inputs[3] ? of(node.inputs[3], k) : undefined];
    const half = cell.gates * hidden;
    const cut = (from: number): Value | undefined =>
      bias && make('Slice', bias, ints(b, [from]), ints(b, [from + half]), ints(b, [0]));
    const [ofInput, ofState] = [cut(0), cut(half)];
    const product = make('MatMul', data, turn(wide, [1, 0]));
    const apart = cell.gates === 3; // the bias of a GRU's state may be multiplied
    const added = [ofInput, apart ? undefined : ofState].filter((v) => v !== undefined);
    const all = added.reduce((sum, v) => make('Add', sum, v), product);
    const steps =
      length > 1 ? b.node('Split', [all], length, { attrs: { axis: 0, num_outputs: length }, name }).outputs : [all];
    const order = [...steps.keys()];
    if (way === 'reverse') order.reverse();
    let state: State = { h: start(node.inputs[5], k), c: cell.gates === 4 ? start(node.inputs[6], k) : undefined };
    const recurrent = turn(of(r, k), [1, 0]);
    const results: Value[] = [];
    for (const t of order) {
      const input = view(item(steps, t), [batch, half]); // t is a place of it
      state = cell.step({ b, node, input, recurrent, bias: apart ? ofState : undefined, hidden, ...state });
      results[t] = view(state.h, [1, 1, batch, hidden]);
    }
    return { state, y: join(results, 0) };
  });
  function join(parts: readonly Value[], axis: number): Value {
    return parts.length === 1 ? item(parts, 0) : b.op('Concat', parts, { attrs: { axis }, name }); // one of one
  }
  const last = (pick: (s: State) => Value | undefined): Value => {
    const all = join(
      ended.map(({ state }) => view(pick(state) ?? state.h, [1, batch, hidden])),
      0,
    );
    return batchFirst ? turn(all, [1, 0, 2]) : all;
  };
  const y = join(
    ended.map((e) => e.y),
    1,
  );
  const results = [batchFirst ? turn(y, [2, 0, 1, 3]) : y, last((s) => s.h)];
  return cell.gates === 4 ? [...results, last((s) => s.c)] : results;
}
