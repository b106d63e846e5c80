/** A net of two small convolutions on the shipped images: whole searches in a fraction of the demo's time. */
import path from 'node:path';
import type { RecipeInput } from '../../../src/recipe/schema.js';
import { weight, writeModel } from '../pipeline/models.js';

const glyphs = path.join(import.meta.dirname, '..', '..', '..', 'calibration-data', 'glyphs');
const preprocess = { resize: { height: 8, width: 8 }, scale: '1/255', mean: 0.5, std: 0.25 };

/** The recipe of an int8 model, with few samples and nothing that only explains. The model is written into `dir`. */
export function tinyRecipe(dir: string, width = 8): RecipeInput {
  const channels = (name: string, value: number): string =>
    `float[${width}] ${name} = {${Array(width).fill(value).join(',')}}`;
  const model = writeModel(
    path.join(dir, width === 8 ? 'tiny.onnx' : `tiny-${width}.onnx`),
    `g (float[N,1,8,8] x) => (float[N,10] y)
  <${weight('w', [width, 1, 3, 3])}, ${weight('scale', [width])}, ${channels('bias', 0)}, ${channels('mean', 0)},
   ${channels('var', 1)}, ${weight('v', [width, width, 3, 3])}, ${weight('f', [width, 10])}> {
    a = Conv <pads: ints = [1, 1, 1, 1]> (x, w)  n = BatchNormalization(a, scale, bias, mean, var)  r = Relu(n)
    c = Conv(r, v)  q = Relu(c)  p = GlobalAveragePool(q)  l = Flatten(p)  y = MatMul(l, f) }`,
  );
  return {
    version: 1,
    model,
    calibration: { data: { images: path.join(glyphs, 'calibration.tar'), preprocess }, samples: 20, cache: false },
    evaluation: {
      data: { images: path.join(glyphs, 'test.tar'), preprocess },
      samples: 100,
      latency: { runs: 10, memory: false },
      layers: false,
      profile: false,
    },
  };
}
