/** A quantized graph as layers over tensors of fixed sizes, as writers of forms that are not ONNX want it. */
import { fail } from '../../base/errors.js';
import { createRng, type Rng } from '../../base/rng.js';
import { cloneModel } from '../../ir/clone.js';
import type { DType } from '../../ir/dtype.js';
import type { FeedTensor } from '../../ir/feed.js';
import { label, type Dim, type Node, type Value } from '../../ir/graph.js';
import type { Model } from '../../ir/model.js';
import type { Tensor } from '../../ir/tensor.js';
import { forgetInferred, inferShapes } from '../../ops/infer.js';
import { specOf } from '../../ops/index.js';
import { convertOpset } from '../../passes/convert-opset.js';
import { replaceOutputs } from '../../rewrite/pass.js';
import { weightCodes } from '../../scheme/arithmetic.js';
import { quantizeBias } from '../../scheme/bias.js';
import type { QuantizedGraph } from '../../scheme/quantized.js';
import type { QuantParams } from '../../scheme/types.js';

/** A tensor of the float model, one object for each. */
export interface Edge {
  readonly name: string;
  readonly dtype: DType;
  /** Sizes in ONNX's order of axes. */
  readonly shape: readonly number[];
  /** How it is quantized where layers make or read codes of it; none where it is float throughout. */
  readonly params?: QuantParams;
  /** Of a constant, in float. */
  readonly data?: Tensor;
  readonly isInput: boolean;
  readonly isOutput: boolean;
  /** How many inputs of layers read it. */
  readonly readers: number;
}

/** Codes of a constant as one layer reads it. */
export interface CodedConstant {
  readonly codes: Tensor;
  readonly params: QuantParams;
}

export interface Layer {
  readonly node: Node;
  /** The node as it stands in the copy: its attributes are those of the layout that the copy was given. */
  readonly copy: Node;
  readonly name: string;
  readonly op: string;
  /** Undefined where an input is left out. */
  readonly inputs: readonly (Edge | undefined)[];
  /** Behind the Relu or Clip that the layer takes in. Undefined where an output is left out. */
  readonly outputs: readonly (Edge | undefined)[];
  /** Limits of that Relu or Clip. */
  readonly clamp?: readonly [low: number, high: number];
  /** Whether it works on codes: it reads edges with params as codes, and makes codes where its outputs have params. */
  readonly integer: boolean;
  /** Weights and biases in codes, by input. */
  readonly coded: ReadonlyMap<number, CodedConstant>;
}

export interface Layers {
  readonly inputs: readonly Edge[];
  readonly outputs: readonly Edge[];
  /** In an order in which they can run. */
  readonly layers: readonly Layer[];
}

/** Sizes of the model's inputs, by name. */
export type Sizes = Readonly<Record<string, Pick<FeedTensor, 'dims'>>>;

/** A copy of a float model in which all sizes are numbers, and clamps are part of the nodes that take them in. */
export interface SizedCopy {
  readonly model: Model;
  /** What values and nodes of the copy are in the graph. A writer that changes the copy keeps them up to date. */
  readonly values: Map<Value, Value>;
  readonly nodes: Map<Node, Node>;
  /** Limits of clamps, by the node of the copy that took them in. */
  readonly clamps: Map<Node, readonly [low: number, high: number]>;
}

/**
 * Sizes are those of `example`, with one sample in a batch. Throws EXPORT_UNSUPPORTED for a tensor whose size does not
 * follow from them, and for control flow.
 */
export const layersOf = (graph: QuantizedGraph, example: Sizes): Layers => layersIn(graph, sizedCopy(graph, example));

/**
 * The copy that {@link layersIn} reads, of `opset` at least. A size that does not follow from those of `example` is
 * told there. Throws MODEL_UNSUPPORTED for operators that have no form in that opset.
 */
export function sizedCopy({ model: from, planned }: QuantizedGraph, example: Sizes, opset?: number): SizedCopy {
  const { model, values, nodes } = cloneModel(from);
  forgetInferred(model);
  if (opset !== undefined) convertOpset(model, opset);
  const sizes = new Map(
    model.graph.inputs.flatMap((v) => {
      const given = example[v.name]?.dims;
      return given ? [[v.name, oneSample(given, v.shape?.[0])] as const] : [];
    }),
  );
  inferShapes(model, sizes);
  const made: SizedCopy = { model, values: reversed(values), nodes: reversed(nodes), clamps: new Map() };
  for (const [node, clamp] of planned.fusedClamps) {
    const [to, gone] = [nodes.get(node), nodes.get(clamp)];
    const role = specOf(clamp)?.quant;
    const bounds = role?.role === 'clamp' ? role.bounds(clamp) : undefined;
    const [result, kept] = [gone?.outputs[0], to?.outputs[0]];
    if (!to || !gone || !bounds || !result || !kept) continue;
    const name = result.name;
    replaceOutputs(model.graph, gone, [kept]);
    made.values.set(kept, made.values.get(result) ?? result);
    model.graph.remove(gone);
    kept.name = name;
    made.clamps.set(to, bounds);
  }
  return made;
}

/** The layers of a copy of `graph`. Throws what {@link layersOf} throws. */
export function layersIn(graph: QuantizedGraph, { model, values, nodes, clamps }: SizedCopy): Layers {
  const { planned, params } = graph;
  const rng = createRng(graph.seed, 'rounding');
  const edges = new Map<Value, Edge>();
  const edgeOf = (v: Value): Edge => {
    const known = edges.get(v);
    if (known) return known;
    const p = params.get(values.get(v) ?? v);
    const made: Edge = {
      name: v.name,
      dtype: v.dtype ?? unknownSize(v),
      shape: sizesOf(v),
      isInput: v.producer === undefined && !v.data,
      isOutput: v.isGraphOutput,
      readers: v.uses.size,
      ...(p && !v.data ? { params: p } : {}),
      ...(v.data ? { data: v.data } : {}),
    };
    edges.set(v, made);
    return made;
  };
  const stored = new Map<QuantParams, Map<Tensor, Tensor>>();
  const codedOf = (copy: Node, node: Node): Map<number, CodedConstant> => {
    const found = new Map<number, CodedConstant>();
    copy.inputs.forEach((v, i) => {
      const [own, use] = [node.inputs[i], node.use(i)];
      const p = own && v?.data && ((use && params.get(use)) ?? params.get(own));
      if (!v?.data || !p) return;
      const known = stored.get(p) ?? new Map<Tensor, Tensor>();
      stored.set(p, known);
      const codes = known.get(v.data) ?? codesOf(v.data, p, rng, own.data, copy);
      known.set(v.data, codes);
      found.set(i, { codes, params: p });
    });
    return found;
  };
  const layers = model.graph.topological().map((copy): Layer => {
    const node = nodes.get(copy) ?? copy;
    if (copy.subgraphs().length) return unsupported(copy, 'control flow');
    const clamp = clamps.get(copy);
    return {
      node,
      copy,
      name: label(node),
      op: node.op,
      inputs: copy.inputs.map((v) => (v ? edgeOf(v) : undefined)),
      outputs: copy.outputs.map((v) => (v.name ? edgeOf(v) : undefined)),
      ...(clamp ? { clamp } : {}),
      integer: planned.integerNodes.has(node),
      coded: codedOf(copy, node),
    };
  });
  const initial = model.graph.inputs.filter((v) => !v.data);
  return { inputs: initial.map(edgeOf), outputs: model.graph.outputs.map(edgeOf), layers };
}

/** Codes of a constant; of one whose axes the copy has permuted, if one scale holds for all of it. */
function codesOf(data: Tensor, p: QuantParams, rng: Rng, own: Tensor | undefined, copy: Node): Tensor {
  if (p.scheme.dtype === 'int32') return quantizeBias(data.f32(), p);
  const same = data.dims.join() === own?.dims.join();
  if (same || (p.scale.length === 1 && !p.codes)) return weightCodes(data, p, rng);
  return unsupported(copy, 'a constant of other axes than its codes');
}

const reversed = <T>(map: ReadonlyMap<T, T>): Map<T, T> => new Map([...map].map(([from, to]) => [to, from]));

/** A batch that the model fixes stays as it is. */
const oneSample = (dims: readonly number[], declared: Dim | undefined): number[] =>
  dims.map((d, i) => (i === 0 && typeof declared !== 'number' ? 1 : d));

function sizesOf(v: Value): number[] {
  const { shape } = v;
  return shape ? shape.map((d) => (typeof d === 'number' ? d : unknownSize(v))) : unknownSize(v);
}
const unknownSize = (v: Value): never =>
  fail(
    'EXPORT_UNSUPPORTED',
    `the size of '${v.name}' does not follow from those of the inputs`,
    { tensor: v.name },
    'the form that is written needs fixed sizes: quantize optimize MODEL folds what can be',
  );
const unsupported = (n: Node, what: string): never =>
  fail('EXPORT_UNSUPPORTED', `'${label(n)}' is ${what}`, { node: label(n) }, 'choose a target that reads ONNX');
