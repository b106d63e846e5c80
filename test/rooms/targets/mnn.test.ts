/** The table that MNN's converter reads, and the float model beside it, run in onnxruntime. */
import { describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { decodeModel } from '../../../src/onnx/decode.js';
import { weightCodes } from '../../../src/scheme/arithmetic.js';
import { mnn } from '../../../src/targets/mnn/index.js';
import { fileOf, inputOf, netOf, quantized } from './graphs.js';

interface Entry {
  name: string;
  scales: number[];
  zeroPoint: number;
  clampMin: number;
}
interface Layer {
  input: [Entry];
  weight: [Entry];
  output: [Entry];
  method: string;
}
const layersOf = (json: Buffer): Layer[] =>
  (JSON.parse(json.toString()) as { algo: [{ quantParams: { layer: Layer[] } }] }).algo[0].quantParams.layer;
const ops = (file: Buffer): string[] =>
  decodeModel(file)
    .graph.topological()
    .map((n) => n.op);

const NET =
  netOf(`(float[N,3,8,8] x) => (float[N,5] y) <float[4,3,3,3] w, float[4] b, float[5,4] v, float[5] c, int64[2] s = {0,-1}> {
  [conv] a = Conv<pads = [1,1,1,1]>(x, w, b) [relu] r = Relu(a)
  [mean] p = AveragePool<kernel_shape = [8,8]>(r) [flat] f = Reshape(p, s)
  [gemm] y = Gemm<transB = 1>(f, v, c) }`);

describe('mnn', () => {
  it('names each product by its result behind the Relu, with a scale for each channel', async () => {
    const files = mnn.emitter.emit(inputOf(await quantized(mnn, NET)));
    expect(files.artefact).toBe('.');
    const layers = layersOf(fileOf(files, 'compression.json'));
    expect(layers.map((l) => [l.input[0].name, l.output[0].name, l.weight[0].scales.length, l.method])).toEqual([
      ['x', 'r', 4, 'QAT'],
      ['f', 'y', 5, 'QAT'],
    ]);
    for (const l of layers)
      for (const e of [l.input[0], l.output[0]]) {
        expect(e.scales[0]).toBeCloseTo(4 / 127, 6);
        expect([e.zeroPoint, e.clampMin]).toEqual([0, -127]);
      }
  });

  it('has weights that round to the codes that were chosen', async () => {
    const graph = await quantized(mnn, NET);
    const files = mnn.emitter.emit(inputOf(graph));
    const conv = [...graph.model.graph.nodes][0]!; // there are some
    const codes = weightCodes(
      conv.inputs[1]!.data!,
      graph.params.get(conv.use(1)!) ?? graph.params.get(conv.inputs[1]!)!,
    ).f64(); // planned
    const [first] = layersOf(fileOf(files, 'compression.json'));
    const written = [...decodeModel(fileOf(files, 'model.onnx')).graph.initializers]
      .find((v) => v.name === 'w')!
      .data!.f32(); // a weight
    expect([...written].map((v, i) => Math.round(v / first!.weight[0].scales[Math.floor(i / 27)]!))).toEqual(
      [...codes].map((c) => c),
    ); // one of two
  });

  it('writes means over the whole map as ReduceMean, and others as convolutions that no entry names', async () => {
    const whole = mnn.emitter.emit(inputOf(await quantized(mnn, NET)));
    expect(ops(fileOf(whole, 'model.onnx'))).toEqual(['Conv', 'Relu', 'ReduceMean', 'Reshape', 'Gemm']);
    const text = netOf(`(float[N,3,8,8] x) => (float[N,2,5,5] y) <float[4,3,1,1] w, float[2,4,1,1] v> {
      a = Conv(x, w) p = AveragePool<kernel_shape = [2,2], strides = [2,2], pads = [1,1,1,1]>(a) y = Conv(p, v) }`);
    const part = mnn.emitter.emit(inputOf(await quantized(mnn, text)));
    const { graph } = decodeModel(fileOf(part, 'model.onnx'));
    expect(graph.topological().map((n) => n.op)).toEqual(['Conv', 'Conv', 'Mul', 'Conv']);
    const counts = [...graph.nodes].find((n) => n.op === 'Mul')!.inputs[1]!.data!; // made above
    expect(counts.dims).toEqual([1, 1, 5, 5]);
    expect([...counts.f32()].slice(0, 6)).toEqual([4, 2, 2, 2, 4, 2]);
  });

  it('says which groups stay float, and which operators are not there', async () => {
    const text = netOf(
      '(float[N,4,8,8] x) => (float[N,4,8,8] y) <float[4,2,1,1] w> { [here] y = Conv<group = 2>(x, w) }',
    );
    const { floats, files } = mnn.emitter.emit(inputOf(await quantized(mnn, text)));
    expect(floats.map((f) => f.node)).toEqual(['here']);
    expect(files.map((f) => f.path)).toEqual(['model.onnx']);
    const model = parseModel(netOf('(float[N,4] x) => (float[N,4] y) { [there] y = Swish(x) }'));
    expect(mnn.emitter.refuses({ model }).map((r) => r.node)).toEqual(['there']);
  });
});
