/** A graph as a Paddle program of the old form: `.pdmodel` and `.pdiparams`. */
import type { Model } from '../../ir/model.js';
import { layersOf, type Edge, type Layer, type Layers } from '../shared/layers.js';
import { absent, assertTaken, floatLayers, opsetOf, refusing } from '../shared/refusals.js';
import type { EmitInput, Emitted, StaysFloat } from '../types.js';
import * as functions from './functions.js';
import { convolution, deconvolution, gemm, matMul } from './products.js';
import { PaddleProgram } from './program.js';
import * as shapes from './shapes.js';

/** Writes a layer; gives the reason where Paddle cannot take it. */
type Writer = (l: Layer, to: PaddleProgram, opset: number) => string | undefined;
const every = (ops: readonly string[], writer: Writer): Record<string, Writer> =>
  Object.fromEntries(ops.map((op) => [op, writer]));
const WRITERS: Readonly<Record<string, Writer>> = {
  ...functions.functions,
  ...every(functions.binaryOps, functions.binary),
  ...every(functions.reductions, functions.reduce),
  ...every(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'], shapes.view),
  ...every(['Identity', 'Dropout'], shapes.identity),
  ...every(['MaxPool', 'AveragePool'], functions.pool),
  ...every(['GlobalAveragePool', 'GlobalMaxPool'], functions.globalPool),
  ...every(['Resize', 'Upsample'], shapes.resize),
  Conv: convolution,
  ConvTranspose: deconvolution,
  Gemm: gemm,
  MatMul: matMul,
  Softmax: functions.softmax,
  Transpose: shapes.transpose,
  Concat: shapes.concat,
  Split: shapes.split,
  Slice: shapes.slice,
  Pad: shapes.pad,
};

export async function emit({ graph, example, name }: EmitInput): Promise<Emitted> {
  const program = new PaddleProgram();
  assertTaken('Paddle', write(layersOf(graph, example), program, opsetOf(graph.model)));
  // protobufjs is loaded where something is written.
  const { encodeParameters, encodeProgram } = await import('./encode.js');
  return {
    files: [
      { path: `${name}.pdmodel`, role: 'model', data: encodeProgram(program) },
      { path: `${name}.pdiparams`, role: 'model', data: encodeParameters(program) },
    ],
    floats: [],
  };
}

/** Every node of a float model that this form cannot take. */
export const refuses = ({ model }: { readonly model: Model }): readonly StaysFloat[] =>
  refusing(model, () => write(floatLayers(model), new PaddleProgram(), opsetOf(model)));

function write({ inputs, outputs, layers }: Layers, to: PaddleProgram, opset: number): StaysFloat[] {
  const refused: StaysFloat[] = [];
  for (const e of inputs) to.input(e);
  for (const l of layers) {
    const because = reasonOf(l) ?? WRITERS[l.op]?.(l, to, opset);
    if (because === undefined) continue;
    refused.push({ node: l.name, op: l.op, because });
    for (const y of l.outputs) if (y) to.sets(y, to.temporary(y.name, y.shape));
  }
  for (const e of outputs) to.outputs.push(to.value(e));
  return refused;
}

/** What no layer can have. */
function reasonOf(l: Layer): string | undefined {
  if (l.node.domain !== '' || !(l.op in WRITERS)) return absent(l.node);
  const wrong = [...l.inputs, ...l.outputs].find((e): e is Edge => e !== undefined && e.dtype !== 'float32' && !e.data);
  return wrong && `'${wrong.name}' is ${wrong.dtype}, not float32`;
}
