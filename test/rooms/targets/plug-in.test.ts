/** The runtime of docs/targets.md, written as data only: scales are powers of two, and what is concatenated has one scale. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { planModel } from '../../../src/pipeline/prepare.js';
import { loadPlugins } from '../../../src/recipe/plugins.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { assignParams } from '../../../src/quantize/assign.js';
import { assertScales } from '../../../src/quantize/validate.js';
import { item } from '../../../src/base/lists.js';
import { writeModel } from '../../../src/formats/write.js';
import { lintModel } from '../../../src/lint/index.js';
import { graphWith } from './graph.js';

const DOC = path.join(import.meta.dirname, '..', '..', '..', 'docs', 'targets.md');
const EXAMPLE = path.join(import.meta.dirname, '..', '..', '..', 'examples', 'own-plugins', 'shift-npu.mjs');
const NET = `<ir_version: 8, opset_import: ["" : 17]>
g (float[1,2,4,4] x) => (float[1,2,4,4] y) <float[2,2,1,1] w1, float[2,2,1,1] w2, float[2,4,1,1] w3, float[2] b> {
  [first] a = Conv(x, w1, b)
  [second] c = Conv(x, w2)
  [join] k = Concat<axis = 1>(a, c)
  [last] y = Conv(k, w3) }`;

it('is the example of the documentation', () => {
  expect(readFileSync(DOC, 'utf8')).toContain(readFileSync(EXAMPLE, 'utf8').trim());
});

it('gets powers of two, and one scale for what is concatenated', async () => {
  const plugins = await loadPlugins([EXAMPLE]);
  const target = item(
    plugins.targets.filter((t) => t.name === 'shift-npu'),
    0,
  );
  const { recipe } = await resolveRecipe({ version: 1, model: 'm.onnx', calibration: { data: { npy: 'x.npy' } } });
  const model = parseModel(NET, { randomInitializers: 3 });
  inferShapes(model);
  const { planned, format } = planModel(model, { ...recipe, target: target.name }, () => undefined, plugins);
  const seen = graphWith(model, planned);
  const { params } = assignParams(planned, seen, () => ({}));
  const scaleOf = (name: string): number => {
    const point = [...params.keys()].find((p) => 'uses' in p && p.name === name);
    return point ? item(params.get(point)?.scale ?? [], 0) : NaN;
  };
  // Ranges of the three: [-1, 1], [-3, 3] and [-3, 3]; 3 ÷ 127 lies between 2^-6 and 2^-5.
  expect([scaleOf('a'), scaleOf('c'), scaleOf('k')]).toEqual([2 ** -5, 2 ** -5, 2 ** -5]);
  for (const p of params.values()) for (const s of p.scale) expect(Number.isInteger(Math.log2(s))).toBe(true);
  assertScales(params, target);
  const written = writeModel(format, { model, planned, params, seed: 0 }, target).model;
  inferShapes(written);
  expect(lintModel(written, target)).toEqual([]);
});
