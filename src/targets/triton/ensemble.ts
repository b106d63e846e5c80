/** Preprocessing on the server: a model from pixels to the input of another, and the two in a row. */
import { item } from '../../base/lists.js';
import type { ExportedFile } from '../../exporters/types.js';
import type { PixelValues } from '../../data/preprocess.js';
import { Graph, type Value } from '../../ir/graph.js';
import { createModel, type Model } from '../../ir/model.js';
import { Tensor } from '../../ir/tensor.js';
import { encodeModel } from '../../onnx/encode.js';
import { GraphBuilder } from '../../rewrite/builder.js';
import { portLines, type Port, type Served } from './config.js';

const OPSET = 17;
const LEVELS = 256;

/**
 * Pixels are looked up in the tables that calibration used: the same values, bit for bit. They come in the size of the
 * model's input; decoding and resizing stay with the client. `own` has one input.
 */
export function ensembleOf(
  own: Served,
  pixels: PixelValues,
): { readonly files: readonly ExportedFile[]; readonly note: string } {
  const port = item(own.inputs, 0);
  const [reader, whole] = [`${own.name}-pixels`, `${own.name}-ensemble`];
  const order = pixels.layout === 'NCHW' ? [0, 2, 3, 1] : [0, 1, 2, 3];
  const names = new Set([...own.inputs, ...own.outputs].map((p) => p.name));
  const taken: Port = {
    name: names.has('pixels') ? `pixels-of-${port.name}` : 'pixels',
    type: 'TYPE_UINT8',
    dims: order.map((axis) => item(port.dims, axis)),
  };
  const first: Served = { name: reader, most: own.most, inputs: [taken], outputs: [port] };
  const steps = [first, own].map(stepOf);
  const config = [
    'platform: "ensemble"',
    ...portLines({ ...own, name: whole, inputs: [taken] }),
    `ensemble_scheduling {\n  step [\n${steps.join(',\n')}\n  ]\n}`,
    '',
  ];
  const reading = [
    'backend: "onnxruntime"',
    ...portLines(first),
    'instance_group [ { count: 1, kind: KIND_CPU } ]',
    '',
  ];
  const text = (path: string, lines: readonly string[]): ExportedFile => ({
    path,
    role: 'sidecar',
    data: lines.join('\n'),
  });
  const channels = pixels.colour === 'gray' ? 'gray' : 'red, green, blue';
  return {
    files: [
      { path: `${reader}/1/model.onnx`, role: 'sidecar', data: encodeModel(readerOf(taken, port, pixels)) },
      text(`${reader}/config.pbtxt`, reading),
      // Triton wants the folder of a version, and an ensemble has no model of its own to put there.
      text(`${whole}/1/README.txt`, [`${whole} runs ${reader} and ${own.name}.`, '']),
      text(`${whole}/config.pbtxt`, config),
    ],
    note:
      `\`${whole}\` takes \`${taken.name}\`, uint8 of height × width × channels (${channels}) in the size of the model's ` +
      'input, as decoded and resized, and does the rest of the preprocessing on the server.',
  };
}

/** One model of an ensemble, in which tensors have the names of ports. */
function stepOf({ name, inputs, outputs }: Served): string {
  const maps = (kind: 'input' | 'output', ports: readonly Port[]): string[] =>
    ports.map((p) => `      ${kind}_map { key: ${JSON.stringify(p.name)}, value: ${JSON.stringify(p.name)} }`);
  return [
    '    {',
    `      model_name: ${JSON.stringify(name)}`,
    '      model_version: -1',
    ...maps('input', inputs),
    ...maps('output', outputs),
    '    }',
  ].join('\n');
}

/** From uint8 [N,H,W,C] to what the input of the model gets. */
function readerOf(taken: Port, given: Port, { dtype, layout, colour, tables }: PixelValues): Model {
  const graph = new Graph();
  const model = createModel(graph, OPSET);
  const b = new GraphBuilder(model, graph);
  const sizes = (p: Port): (number | null)[] => p.dims.map((d) => (d < 0 ? null : d));
  const pixels = b.input(taken.name, 'uint8', sizes(taken));
  const codes = b.op('Cast', [pixels], { attrs: { to: INT32 } });
  const reversed = (): Value => b.constant(Tensor.i64([2, 1, 0]), 'table-order');
  const ordered = colour === 'BGR' ? b.op('Gather', [codes, reversed()], { attrs: { axis: 3 } }) : codes;
  const starts = Tensor.i32(tables.map((_, c) => c * LEVELS));
  const places = b.op('Add', [ordered, b.constant(starts, 'table-starts')]);
  const bytes = tables.map((t) => new Uint8Array(t.buffer, t.byteOffset, t.byteLength));
  const table = new Tensor(dtype, [LEVELS * tables.length], Uint8Array.from(Buffer.concat(bytes)));
  const values = b.op('Gather', [b.constant(table, 'table'), places], { attrs: { axis: 0 } });
  const how = { outputs: [given.name] };
  const y =
    layout === 'NCHW'
      ? b.op('Transpose', [values], { ...how, attrs: { perm: [0, 3, 1, 2] } })
      : b.op('Identity', [values], how);
  y.shape = sizes(given);
  graph.addOutput(y);
  return model;
}
const INT32 = 6;
