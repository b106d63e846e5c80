/** A quantized graph as layers over tensors of fixed sizes, as writers of forms that are not ONNX want it. */
import { fail } from '../../base/errors.js';
import { createRng } from '../../base/rng.js';
import { cloneModel } from '../../ir/clone.js';
import type { DType } from '../../ir/dtype.js';
import type { FeedTensor } from '../../ir/feed.js';
import { label, type Dim, type Node, type Value } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';
import { forgetInferred, inferShapes } from '../../ops/infer.js';
import { specOf } from '../../ops/index.js';
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

/**
 * Sizes are those of `example`, with one sample in a batch. Throws EXPORT_UNSUPPORTED for a tensor whose size does not
 * follow from them, and for control flow.
 */
export function layersOf(graph: QuantizedGraph, example: Sizes): Layers {
  const { model, values, nodes } = cloneModel(graph.model);
  const back = new Map([...values].map(([from, to]) => [to, from]));
  const nodeBack = new Map([...nodes].map(([from, to]) => [to, from]));
  forgetInferred(model);
  const sizes = new Map(
    model.graph.inputs.flatMap((v) => {
      const given = example[v.name]?.dims;
      return given ? [[v.name, oneSample(given, v.shape?.[0])] as const] : [];
    }),
  );
  inferShapes(model, sizes);
  const { planned, params } = graph;
  const clamps = new Map([...planned.fusedClamps].map(([n, clamp]) => [n, clamp]));
  const taken = new Set(clamps.values());
  const rng = createRng(graph.seed, 'rounding');
  const edges = new Map<Value, Edge>();
  const edgeOf = (v: Value): Edge => {
    const known = edges.get(v);
    if (known) return known;
    const own = back.get(v) ?? v;
    const p = params.get(own);
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
  const stored = new Map<QuantParams, Tensor>();
  const codedOf = (n: Node): Map<number, CodedConstant> => {
    const found = new Map<number, CodedConstant>();
    n.inputs.forEach((v, i) => {
      const use = n.use(i);
      const p = v?.data && ((use && params.get(use)) ?? params.get(v));
      if (!v?.data || !p) return;
      const codes =
        stored.get(p) ?? (p.scheme.dtype === 'int32' ? quantizeBias(v.data.f32(), p) : weightCodes(v.data, p, rng));
      stored.set(p, codes);
      found.set(i, { codes, params: p });
    });
    return found;
  };
  const layers = model.graph.topological().flatMap((copy): Layer[] => {
    const node = nodeBack.get(copy) ?? copy;
    if (taken.has(node)) return [];
    if (copy.subgraphs().length) return unsupported(copy, 'control flow');
    const clamp = clamps.get(node);
    const role = clamp && specOf(clamp)?.quant;
    const bounds = clamp && role?.role === 'clamp' ? role.bounds(clamp) : undefined;
    const results = clamp ? (nodes.get(clamp) ?? clamp).outputs : copy.outputs;
    return [
      {
        node,
        name: label(node),
        op: node.op,
        inputs: copy.inputs.map((v) => (v ? edgeOf(v) : undefined)),
        outputs: results.map((v) => (v.name ? edgeOf(v) : undefined)),
        ...(bounds ? { clamp: bounds } : {}),
        integer: planned.integerNodes.has(node),
        coded: codedOf(node),
      },
    ];
  });
  const initial = model.graph.inputs.filter((v) => !v.data);
  return { inputs: initial.map(edgeOf), outputs: model.graph.outputs.map(edgeOf), layers };
}

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
