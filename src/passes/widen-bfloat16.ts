import { dtypeCode } from '../ir/dtype.js';
import type { Attr, Graph, Node, Value } from '../ir/graph.js';
import { inlineFunctions } from '../ir/inline.js';
import { allGraphs, nameMaker, type Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';

const [FLOAT, BFLOAT16] = [BigInt(dtypeCode('float32')), BigInt(dtypeCode('bfloat16'))];
/** Attributes that name a type of results. source: the operators' pages of onnx 1.20 */
const TYPE_ATTRIBUTES = ['to', 'dtype', 'output_dtype', 'output_datatype', 'stash_type'];
/** Constants of so many values become float32 at once; larger ones stay in their file, behind a Cast. */
const HELD = 4096;

/**
 * Whether something but Cast works on bfloat16, or inputs and outputs have that type: onnxruntime's CPU has no other
 * kernels for it, and JavaScript no such tensors.
 */
export function computesInBfloat16(model: Model): boolean {
  const beyondCast = (v: Value): boolean => [...v.uses].some((u) => u.node.op !== 'Cast');
  for (const root of [model.graph, ...model.functions.map((f) => f.graph)])
    for (const g of allGraphs(root)) {
      if ([...g.inputs, ...g.outputs].some((v) => v.dtype === 'bfloat16')) return true;
      if ([...g.initializers].some((v) => v.data?.dtype === 'bfloat16' && beyondCast(v))) return true;
      if ([...g.nodes].some((n) => makesBfloat16(n) && n.outputs.some(beyondCast))) return true;
    }
  return false;
}

const makesBfloat16 = ({ attrs }: Node): boolean =>
  TYPE_ATTRIBUTES.some((name) => {
    const a = attrs.get(name);
    return a?.type === 'int' && a.value === BFLOAT16;
  }) || [...attrs.values()].some((a) => a.type === 'tensor' && a.value.dtype === 'bfloat16');

/**
 * Lets a model that computes in bfloat16 compute in float32, which holds all of its values: weights keep theirs, and
 * results are no longer rounded between nodes. Large weights stay in bfloat16 in the file, behind a Cast. Inlines
 * functions. Changes the model in place.
 */
export function widenBfloat16(model: Model): void {
  inlineFunctions(model);
  const freeName = nameMaker(model.graph);
  for (const g of allGraphs(model.graph)) {
    for (const n of g.nodes) for (const [name, a] of n.attrs) n.attrs.set(name, widened(name, a));
    const values = [...g.inputs, ...g.outputs, ...[...g.nodes].flatMap((n) => n.outputs)];
    for (const v of values) if (v.dtype === 'bfloat16' && !v.data) v.dtype = 'float32';
    for (const v of [...g.initializers]) widenConstant(v, g, () => new GraphBuilder(model, g, freeName));
  }
}

function widened(name: string, a: Attr): Attr {
  if (a.type === 'tensor') return a.value.dtype === 'bfloat16' ? { ...a, value: asFloat32(a.value) } : a;
  return a.type === 'int' && a.value === BFLOAT16 && TYPE_ATTRIBUTES.includes(name) ? { ...a, value: FLOAT } : a;
}

const asFloat32 = (t: Tensor): Tensor => Tensor.f32(t.f32(), t.dims);

function widenConstant(v: Value, g: Graph, builder: () => GraphBuilder): void {
  const { data } = v;
  if (data?.dtype !== 'bfloat16') return;
  if (data.size <= HELD || g.isInput(v)) {
    g.addInitializer(v, asFloat32(data));
    return;
  }
  const wide = builder().op('Cast', [v], { name: `${v.name}_float32`, attrs: { to: FLOAT } });
  for (const u of [...v.uses]) {
    if (u.node !== wide.producer) u.node.setInput(u.index, wide);
  }
  for (const to of [...v.outputOf.keys()]) for (const i of to.outputIndices(v)) to.setOutput(i, wide);
}
