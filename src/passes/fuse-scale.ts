import type { Graph, Node, Value } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { replaceOutputs, type Pass } from '../rewrite/pass.js';
import { scalarOf } from './constants.js';

/** A constant input that takes the factor. */
interface Slot {
  readonly node: Node;
  readonly index: number;
}

/**
 * k·f(x) with a scalar constant k, where f is linear in constants that lie before: MatMul, Gemm or Conv with constant
 * weights (and bias), an added or multiplied constant, BatchNormalization; looked for through ops that only move
 * elements, for k > 0 through Relu and pooling, and where k is a power of two through MatMul of two activations
 * (k·(A·B) = (k·A)·B: the 1/√d of attention). Multiplies the constants by k and drops the Mul or Div. Refuses where a
 * value on the way has another user, a weight is shared, or nothing constant is found. Another k rounds the weights
 * anew, and a product of two activations that are both large, before a Softmax, makes the last bits up to 2e-5 of the
 * output.
 */
export const fuseScale = {
  name: 'fuse-scale',
  doc: 'Multiplies a constant factor into the weights before it.',
  numerics: 'close',
  run(ctx) {
    let changes = 0;
    for (const graph of allGraphs(ctx.model.graph)) {
      for (const node of graph.topological()) {
        const scaled = node.graph === graph && scaledInput(node);
        if (!scaled) continue;
        const overridable = (v: Value): boolean => ctx.model.graph.isInput(v);
        const slots = overridable(scaled.constant)
          ? `'${scaled.constant.name}' is an input with a default`
          : findSlots(scaled.x, { graph, factor: scaled.factor, overridable, seen: new Map() });
        if (typeof slots === 'string') {
          if (slots) ctx.refuse('fuse-scale', node, slots);
          continue;
        }
        for (const s of slots) multiply(s, scaled.factor);
        replaceOutputs(graph, node, [scaled.x]);
        graph.remove(node);
        changes++;
      }
    }
    return { changes };
  },
} satisfies Pass;

/** What Mul(x, k), Mul(k, x) or Div(x, k) scales, and by how much. */
function scaledInput(node: Node): { x: Value; factor: number; constant: Value } | undefined {
  if (node.domain !== '' || node.outputs.length !== 1 || (node.op !== 'Mul' && node.op !== 'Div')) return undefined;
  const [a, b] = node.inputs;
  if (!a || !b || a === b) return undefined;
  for (const [x, constant] of node.op === 'Mul'
    ? ([
        [a, b],
        [b, a],
      ] as const)
    : ([[a, b]] as const)) {
    const k = scalarOf(constant, x);
    if (k === undefined || x.isInitializer) continue;
    const factor = node.op === 'Div' ? 1 / k : k;
    if (Number.isFinite(factor) && factor !== 0) return { x, factor, constant };
  }
  return undefined;
}

const MOVES = new Set(['Reshape', 'Transpose', 'Squeeze', 'Unsqueeze', 'Flatten', 'Slice', 'Identity']);
const POSITIVE = new Set(['Relu', 'LeakyRelu', 'MaxPool', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool']);

interface Search {
  readonly graph: Graph;
  readonly factor: number;
  readonly overridable: (v: Value) => boolean;
  readonly seen: Map<Value, readonly Slot[] | string>;
}

/** The constants to multiply so that `v` is scaled; why they cannot be; '' where no constant weights lie before it. */
function findSlots(v: Value, search: Search): readonly Slot[] | string {
  const known = search.seen.get(v);
  if (known !== undefined) return known;
  const node = v.producer;
  let found = node?.graph === search.graph && node.domain === '' ? slotsOf(node, search) : '';
  if (found !== '' && (v.uses.size !== 1 || v.isGraphOutput)) found = `'${v.name}' has other uses`;
  search.seen.set(v, found);
  return found;
}

function slotsOf(node: Node, search: Search): readonly Slot[] | string {
  const { factor, overridable } = search;
  const before = (i: number): readonly Slot[] | string => {
    const x = node.inputs[i];
    return x ? findSlots(x, search) : '';
  };
  const own = (...indices: number[]): readonly Slot[] | string => {
    const slots: Slot[] = [];
    for (const index of indices) {
      const c = node.inputs[index];
      if (!c) continue;
      if (!c.isInitializer || c.data?.dtype !== 'float32' || overridable(c))
        return `'${c.name}' is not a float32 constant`;
      if (c.uses.size !== 1 || c.isGraphOutput) return `'${c.name}' is shared`;
      slots.push({ node, index });
    }
    return slots;
  };
  const constantSide = node.inputs.findIndex((i) => i?.isInitializer);
  if (MOVES.has(node.op) || (factor > 0 && POSITIVE.has(node.op) && node.outputs.slice(1).every((o) => !o.name)))
    return before(0);
  switch (node.op) {
    case 'MatMul': {
      if (constantSide >= 0) return own(constantSide);
      const left = before(0);
      const found = typeof left === 'string' ? before(1) || left : left;
      if (typeof found === 'string' || Number.isInteger(Math.log2(Math.abs(factor)))) return found;
      return (
        `${Number(factor.toPrecision(3))} is not a power of two, which alone leaves the bits of a product of two ` +
        'activations as they are'
      );
    }
    case 'Gemm':
    case 'Conv':
    case 'ConvTranspose':
    case 'BatchNormalization':
      return node.op === 'BatchNormalization' && node.int('training_mode', 0) !== 0
        ? 'BatchNormalization is in training mode'
        : own(1, 2);
    case 'Add': {
      const rest = constantSide >= 0 ? before(1 - constantSide) : '';
      const term = rest === '' ? '' : own(constantSide);
      return typeof term === 'string' ? term : typeof rest === 'string' ? rest : [...term, ...rest];
    }
    case 'Mul':
      return constantSide >= 0 ? own(constantSide) : '';
    default:
      return '';
  }
}

function multiply({ node, index }: Slot, factor: number): void {
  const value = node.inputs[index];
  const data = value?.data;
  if (!value || !data) return;
  const w = data.f32();
  const scaled = new Float32Array(w.length);
  for (let i = 0; i < w.length; i++) scaled[i] = w[i]! * factor; // in float64, rounded once
  value.data = Tensor.f32(scaled, data.dims);
}
