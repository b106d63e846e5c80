/** The list of layers that loaders of PyTorch and TVM read. */
import { expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { unquantized, type QuantizedGraph } from '../../../src/scheme/quantized.js';
import { pytorch } from '../../../src/targets/pytorch/index.js';
import { tvm } from '../../../src/targets/tvm/index.js';
import { inputOf, netOf, quantized } from './graphs.js';

interface Program {
  readonly oneSample: boolean;
  readonly layers: readonly {
    readonly op: string;
    readonly inputs: readonly string[];
    readonly attrs: Readonly<Record<string, unknown>>;
  }[];
}

const NET = netOf(`(float[N,3,8,8] x) => (float[N,4,64] y) <float[4,3,3,3] w, float[1,1,64] c, int64[1] tail = {-1}> {
    a = Conv<auto_pad = "SAME_UPPER">(x, w)
    s = Shape<end = 2>(a)
    to = Concat<axis = 0>(s, tail)
    r = Reshape(a, to)
    y = Add(r, c)
  }`);
async function programOf({ emitter }: typeof pytorch | typeof tvm, graph: QuantizedGraph): Promise<Program> {
  expect(emitter.refuses(graph)).toEqual([]);
  const { files } = await emitter.emit(inputOf(graph));
  return JSON.parse(String(files.find((f) => f.path === 'program.json')?.data)) as Program;
}

it('settles windows of convolutions alone, and folds what follows from sizes', async () => {
  const program = await programOf(tvm, await quantized(tvm, NET));
  expect(program.layers.map((l) => l.op)).toEqual(['Conv', 'Reshape', 'Add']);
  expect(program.layers[0]?.attrs).toMatchObject({ pads: [1, 1, 1, 1], kernel_shape: [3, 3] });
  expect(program.layers[2]?.attrs).toEqual({});
});

it('keeps what is computed from sizes where the loader takes any', async () => {
  const program = await programOf(pytorch, await quantized(pytorch, NET));
  expect(program.oneSample).toBe(false);
  expect(program.layers.map((l) => l.op)).toEqual(['Conv', 'Shape', 'Concat', 'Reshape', 'Add']);
  expect(program.layers[1]?.attrs).toEqual({ end: 2 });
});

it('has operators in the form that loaders know, and says what fills a tensor', async () => {
  const text = `(float[1,3,8,8] x) => (float[1,3,8,2] y) <float[3,3,1,1] w> {
    a = Conv(x, w)
    b = Slice<axes = [3], starts = [0], ends = [2]>(a)
    s = Shape(b)
    f = ConstantOfShape<value = int64[1] {3}>(s)
    c = Cast<to = 1>(f)
    y = Mul(b, c)
  }`;
  const model = parseModel(netOf(text).replace('17', '9'), { randomInitializers: 1 });
  inferShapes(model);
  const program = await programOf(pytorch, unquantized(model));
  expect(program.oneSample).toBe(true);
  const [slice, filled] = ['Slice', 'ConstantOfShape'].map((op) => program.layers.find((l) => l.op === op));
  expect(slice?.attrs).toEqual({});
  expect(slice?.inputs).toHaveLength(4);
  expect(filled?.attrs).toEqual({ value: { number: 3, dtype: 'int64' } });
});
