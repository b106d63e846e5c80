import type { Node, Value } from '../ir/graph.js';
import { dataInputs, specOf } from '../ops/index.js';
import type { QLinearForm } from '../ops/spec.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { onlyUse } from '../rewrite/facts.js';
import { removeUnused, removeUnusedInitializers } from '../rewrite/pass.js';
import { qdq } from './qdq.js';
import type { Format, FormatInput, TensorPlace } from './types.js';

/**
 * QLinear operators that compute on codes (QLinearConv, QLinearMatMul, QGemm, QLinearAdd, …): the QDQ form with every
 * DequantizeLinear → op → QuantizeLinear group replaced by its integer operator, and ops that only move codes put
 * directly on them. Much of it is ONNX Runtime's own domain: other runtimes want qdq.
 */
export const qoperator = {
  name: 'qoperator',
  doc: 'Integer operators (QLinearConv, QLinearMatMul, QGemm, …), for ONNX Runtime only.',
  plan: 'static',
  minOpset: (schemes) => qdq.minOpset(schemes),
  rewrite(input) {
    const { changes, tensors } = qdq.rewrite(input);
    const moved = fuseGroups(input);
    const places = new Map<string, TensorPlace>();
    for (const [name, { value, params }] of tensors)
      places.set(name, { value: moved.get(value)?.to ?? value, params: params! }); // all of qdq's are codes
    for (const [from, { name, to }] of moved) if (from.dtype === 'float32') places.set(name, { value: to });
    return { changes, tensors: places };
  },
} satisfies Format;

/** What took a value's place, and the name that the value had until then. */
type Moved = Map<Value, { readonly name: string; readonly to: Value }>;

function fuseGroups({ model, target }: FormatInput): Moved {
  const graph = model.graph;
  const b = new GraphBuilder(model);
  const moved: Moved = new Map();
  for (const n of graph.topological()) {
    if (n.graph !== graph) continue;
    const quant = specOf(n)?.quant;
    const y = n.outputs[0];
    if (!y || !quant) continue;
    if (quant.role === 'passthrough') moveOntoCodes(b, n, moved, target.byteCodes?.includes(n.op) === true);
    else if ((quant.role === 'compute' || quant.role === 'arithmetic') && quant.qlinear)
      fuse(b, n, quant.qlinear, soleQuantizer(y), moved);
  }
  removeUnused(graph, graph.topological().toReversed());
  removeUnusedInitializers(graph);
  return moved;
}

/** The QuantizeLinear that is the only user of a value. */
function soleQuantizer(v: Value): Node | undefined {
  const use = onlyUse(v);
  return use?.node.op === 'QuantizeLinear' && use.index === 0 ? use.node : undefined;
}
const dequantizer = (v: Value | null | undefined): Node | undefined =>
  v?.producer?.op === 'DequantizeLinear' ? v.producer : undefined;

/** Only where codes mean the same before and after: a float op between two scales (interpolation) stays as it is. */
function moveOntoCodes(b: GraphBuilder, n: Node, moved: Moved, onlyBytes: boolean): void {
  const dq = dequantizer(n.inputs[0]);
  if (!dq || (onlyBytes && !isByte(dq.inputs[2] ?? dq.inputs[0]!))) return; // a DequantizeLinear has codes
  const quantizers = n.outputs.map(soleQuantizer);
  if (!quantizers.every((q) => q?.inputs[1] === dq.inputs[1] && q?.inputs[2] === dq.inputs[2])) return;
  const made = b.node(
    n.op,
    n.inputs.map((v, i) => (i === 0 ? dq.inputs[0]! : v)),
    n.outputs.length,
    { attrs: Object.fromEntries(n.attrs), name: n.name || n.op },
  ); // a DequantizeLinear has codes
  quantizers.forEach((q, i) => takeOver(b, q!.outputs[0]!, made.outputs[i]!, moved)); // checked above; one output each
}

function fuse(b: GraphBuilder, n: Node, form: QLinearForm, q: Node | undefined, moved: Moved): void {
  const weight = specOf(n)?.quant.role === 'compute' ? [1] : [];
  const operands = [...new Set([...dataInputs(n), ...weight])].sort((x, y) => x - y);
  const triples = operands.map((i) => dequantizer(n.inputs[i])?.inputs);
  if (triples.some((t) => t === undefined)) return;
  // checked above; a DequantizeLinear has codes and scale
  const flat = triples.flatMap((t) => [t![0]!, t![1]!, t![2] ?? null]);
  const result = q ? [q.inputs[1]!, q.inputs[2] ?? null] : undefined; // a QuantizeLinear has a scale
  // No integer operator takes codes of other widths, or gives a scale for each channel.
  if (![...flat, ...(result ?? [])].every((v) => v === null || isByte(v))) return;
  if (!(result ?? []).every((v) => v === null || (v.data?.size ?? 1) === 1)) return;
  const bias = dequantizer(n.inputs[2])?.inputs[0] ?? null;
  let inputs: (Value | null)[];
  switch (form.form) {
    case 'conv':
      if (!result) return;
      inputs = [...flat.slice(0, 6), ...result, ...(bias ? [bias] : [])];
      break;
    case 'gemm':
      inputs = [...flat.slice(0, 6), bias, ...(result ?? [])];
      break;
    case 'each':
      if (!result) {
        integerToFloat(b, n, flat, moved);
        return;
      }
      inputs = [...flat, ...result];
      break;
    case 'concat':
      if (!result) return;
      inputs = [...result, ...flat];
      break;
    case 'where':
      if (!result) return;
      inputs = [n.inputs[0] ?? null, ...flat, ...result];
      break;
  }
  const attrs = { ...Object.fromEntries(n.attrs), ...form.attrs };
  if (form.form === 'gemm') delete attrs['beta']; // 1 by planning, and QGemm has no such attribute
  const y = (q ? q.outputs[0] : n.outputs[0])!; // both ops have an output
  const made = b.op(form.op, inputs, { attrs, domain: form.domain, name: n.name || n.op });
  made.dtype = y.dtype;
  made.shape = made.shape ?? y.shape;
  takeOver(b, y, made, moved);
}

/** Not codes of 16 or 4 bits, which no integer operator takes. */
const isByte = (v: Value): boolean => !/^u?int(16|4|2)$/.test(v.data?.dtype ?? v.dtype ?? '');

/** A matrix product whose result is wanted in float. */
function integerToFloat(
  b: GraphBuilder,
  n: Node,
  [a, as, az, w, ws, wz]: readonly (Value | null)[],
  moved: Moved,
): void {
  if (n.op !== 'MatMul') return;
  const made = b.op('MatMulIntegerToFloat', [a ?? null, w ?? null, as ?? null, ws ?? null, az ?? null, wz ?? null], {
    domain: 'com.microsoft',
    name: n.name || n.op,
  });
  takeOver(b, n.outputs[0]!, made, moved); // MatMul has an output
}

function takeOver(b: GraphBuilder, old: Value, made: Value, moved: Moved): void {
  moved.set(old, { name: old.name, to: made });
  if (old.isGraphOutput) {
    const name = old.name;
    old.name = b.freeName(`${name}_before`);
    made.name = name;
  }
  b.graph.replaceUses(old, made);
}
