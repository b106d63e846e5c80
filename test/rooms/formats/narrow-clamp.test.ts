/** A Relu or Clip that becomes a range of codes keeps its limits where the type has more codes than are used. */
import { expect, it } from 'vitest';
import { formats } from '../../../src/formats/index.js';
import { writeModel } from '../../../src/formats/write.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { planModel } from '../../../src/pipeline/prepare.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import { EXACT, Session } from '../../../src/runtime/session.js';
import { onnxruntimeCpu } from '../../../src/targets/onnxruntime-cpu/index.js';
import { anyParams } from '../../models/any-params.js';

it.each([
  ['asymmetric, narrow', { symmetric: false, narrow: true }, 'Relu(a)', -127, 0],
  ['asymmetric', { symmetric: false }, 'Relu(a)', -128, 0],
  ['symmetric', { symmetric: true }, 'Clip(a, low, high)', 0, -1],
] as const)('codes that are %s', async (_what, activations, clamp, zero, lowest) => {
  const { recipe } = await resolveRecipe({
    version: 1,
    model: 'm.onnx',
    calibration: { data: { npy: 'x.npy' } },
    quantize: { format: 'qdq', activations: { dtype: 'int8', ...activations } },
  });
  const model = parseModel(
    `<ir_version: 8, opset_import: ["" : 17]> g (float[1,1,1,4] x) => (float[1,1,1,4] y)
     <float[1,1,1,1] w = {1}, float[1,1,1,1] v = {1}, float low = {-1}, float high = {1.5}> {
       a = Conv(x, w) r = ${clamp} y = Conv(r, v) }`,
  );
  inferShapes(model);
  const { planned, format } = planModel(model, recipe, () => undefined);
  expect(format).toBe(formats.find((f) => f.name === 'qdq'));
  const params = anyParams(planned);
  const settings = { x: [1 / 32, 0], r: [1 / 127, zero], y: [1 / 127, 0], w: [1 / 127, 0], v: [1 / 127, 0] } as const;
  for (const [point, p] of params) {
    const { name } = 'uses' in point ? point : point.node.inputs[point.index]!;
    const own = settings[name as keyof typeof settings]; // there are no others
    params.set(point, { ...p, scale: Float32Array.of(own[0]), zeroPoint: Int32Array.of(own[1]) });
  }
  const session = await Session.open(
    encodeModel(writeModel(format, { model, planned, params, seed: 0 }, onnxruntimeCpu).model),
    EXACT,
  );
  try {
    const x = { dtype: 'float32', dims: [1, 1, 1, 4], data: Float32Array.of(-2, 0.25, 1, 1.5) } as const;
    const { y } = await session.run({ x });
    const [first, ...others] = Array.from(y!.data, Number);
    expect(first).toBeCloseTo(lowest, 6);
    others.forEach((v, i) => expect(v).toBeCloseTo([0.25, 1, 1][i]!, 2));
  } finally {
    await session.close();
  }
});
