/** The list of layers that loaders of PyTorch and TVM read. */
import { expect, it } from 'vitest';
import { pytorch } from '../../../src/targets/pytorch/index.js';
import { inputOf, netOf, quantized } from './graphs.js';

interface Program {
  readonly layers: readonly { readonly op: string; readonly attrs: Readonly<Record<string, unknown>> }[];
}

it('settles windows of convolutions alone, and folds what follows from sizes', async () => {
  const text =
    netOf(`(float[N,3,8,8] x) => (float[N,4,64] y) <float[4,3,3,3] w, float[1,1,64] c, int64[1] tail = {-1}> {
    a = Conv<auto_pad = "SAME_UPPER">(x, w)
    s = Shape<end = 2>(a)
    to = Concat<axis = 0>(s, tail)
    r = Reshape(a, to)
    y = Add(r, c)
  }`);
  const graph = await quantized(pytorch, text);
  expect(pytorch.emitter.refuses(graph)).toEqual([]);
  const { files } = await pytorch.emitter.emit(inputOf(graph));
  const program = JSON.parse(String(files.find((f) => f.path === 'program.json')?.data)) as Program;
  expect(program.layers.map((l) => l.op)).toEqual(['Conv', 'Reshape', 'Add']);
  expect(program.layers[0]?.attrs).toMatchObject({ pads: [1, 1, 1, 1], kernel_shape: [3, 3] });
  expect(program.layers[2]?.attrs).toEqual({});
});
