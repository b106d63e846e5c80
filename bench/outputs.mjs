/**
 * How far the outputs of quantized models are from those of the float model, on the recipe's evaluation data:
 * `node bench/outputs.mjs RECIPE.yaml MODEL.onnx …`. For each model the squared error of the first output, its ratio to
 * that of the first model, and top-1 where samples have labels.
 */
import path from 'node:path';
import { batches } from '../dist/data/batch.js';
import { openData } from '../dist/pipeline/calibration.js';
import { inputInfo } from '../dist/pipeline/inputs.js';
import { loadRecipe } from '../dist/recipe/load.js';
import { loadModel } from '../dist/index.js';
import { Session } from '../dist/runtime/session.js';

const [file, ...models] = process.argv.slice(2);
const resolved = await loadRecipe(file);
const { recipe } = resolved;
const float = path.resolve(resolved.baseDir, recipe.model);
const inputs = inputInfo(loadModel(float));
const data = { ...recipe.calibration.data, ...recipe.evaluation.data };
const dataset = await openData(data, inputs, resolved, () => undefined);
const sessions = await Promise.all([float, ...models].map((f) => Session.open(f)));
const errors = sessions.map(() => 0);
const right = sessions.map(() => 0);
let [labelled, energy] = [0, 0];
const top = (row) => row.reduce((best, v, i) => (v > row[best] ? i : best), 0);
for await (const { feeds, samples } of batches(dataset.samples({}), { size: 1, inputs })) {
  const label = samples[0]?.label;
  const rows = [];
  for (const s of sessions) rows.push((await s.run(feeds[0]))[s.outputs[0].name].data);
  rows.forEach((row, i) => {
    for (let k = 0; k < row.length; k++) errors[i] += (row[k] - rows[0][k]) ** 2;
    if (label !== undefined && top(row) === label) right[i]++;
  });
  if (label !== undefined) labelled++;
  for (const v of rows[0]) energy += v * v;
}
models.forEach((m, i) =>
  console.log(
    `${m}: squared error ${errors[i + 1].toFixed(1)} ` +
      `(${((100 * errors[i + 1]) / energy).toFixed(3)} % of the energy, ` +
      `${(errors[i + 1] / errors[1]).toFixed(3)} × the first)` +
      (labelled
        ? ` · top-1 ${((100 * right[i + 1]) / labelled).toFixed(2)} of ${((100 * right[0]) / labelled).toFixed(2)}`
        : ''),
  ),
);
for (const s of sessions) await s.close();
