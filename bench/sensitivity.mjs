/**
 * The sensitivity ranking against the truth: `node bench/sensitivity.mjs recipe.yaml [--set path=value …]`.
 * Ranks layers by divergence on few samples, then measures what each layer alone costs in top-1 on the evaluation data
 * (or on `--tars shard.tar …`, WebDataset), and prints both with Spearman's correlation and what of it is noise.
 * Options: --measure kl|loss --samples 64 --threads 2 --images all --each (prints every layer)
 */
import { parseArgs } from 'node:util';
import { measureSensitivity, quantizeOne } from '../dist/analyse/sensitivity.js';
import { pearsonOf, ranks } from '../dist/evaluate/statistics.js';
import { createRng } from '../dist/base/rng.js';
import { batches } from '../dist/data/batch.js';
import { calibratePlans, openData } from '../dist/pipeline/calibration.js';
import { inputInfo } from '../dist/pipeline/inputs.js';
import { macsByNode } from '../dist/facts/model.js';
import { loadFloatModel, optimizeModel, planModel } from '../dist/pipeline/prepare.js';
import { assignParams } from '../dist/quantize/assign.js';
import { loadRecipe } from '../dist/recipe/load.js';
import { openModel } from '../dist/runtime/open.js';
import { uniqueLabels } from '../dist/ir/labels.js';
import path from 'node:path';

const {
  values: o,
  positionals: [file],
} = parseArgs({
  allowPositionals: true,
  options: {
    set: { type: 'string', multiple: true, default: [] },
    tars: { type: 'string', multiple: true },
    each: { type: 'boolean', default: false },
    samples: { type: 'string', default: '64' },
    threads: { type: 'string', default: '2' },
    images: { type: 'string', default: 'Infinity' },
    measure: { type: 'string', default: 'kl' },
  },
});
const resolved = await loadRecipe(file, { set: o.set });
const { recipe } = resolved;
const say = () => undefined;
const threads = Number(o.threads);
const modelFile = path.resolve(resolved.baseDir, recipe.model);
const model = loadFloatModel(modelFile);
await optimizeModel(model, modelFile, recipe.optimize, say);
const { planned, format, target } = planModel(model, recipe, say);
const calibrated =
  format.name === 'dynamic'
    ? { stats: [new Map()] }
    : await calibratePlans({
        model,
        contentSha256: () => '',
        plans: [{ planned, observerOptions: recipe.quantize.activations.observer }],
        recipe: resolved,
        report: say,
      });
const { params } = assignParams(planned.plan, calibrated.stats[0], (point, observer) => {
  const { name, ...options } = recipe.quantize['uses' in point && !point.data ? 'activations' : 'weights'].observer;
  return name === observer ? options : {};
});
const inputs = inputInfo(model);
const common = { model, planned, params, format, target, threads };

// Samples of the calibration data: the evaluation data must not choose anything.
const calibration = await openData(recipe.calibration.data, inputs, resolved, say);
const sensitivity = await measureSensitivity({
  ...common,
  samples: Number(o.samples),
  measure: o.measure,
  macs: macsByNode(model, undefined),
  batches: () =>
    batches(calibration.samples({ limit: Number(o.samples) }), { size: 16, inputs, padding: calibration.padding }),
});
console.log(
  `${path.basename(modelFile)} ${o.set.join(' ')}: ${sensitivity.layers.length} layers ranked on ` +
    `${sensitivity.samples} samples in ${(sensitivity.ms / 1000).toFixed(2)} s (${sensitivity.measure}, ` +
    `${threads} threads)`,
);

const spec = o.tars
  ? {
      webdataset: o.tars.map((t) => path.resolve(t)),
      ...(recipe.calibration.data.preprocess ? { preprocess: recipe.calibration.data.preprocess } : {}),
    }
  : recipe.evaluation.data;
const evaluation = await openData(spec, inputs, resolved, say);
const kept = [];
for await (const b of batches(evaluation.samples({ limit: Number(o.images) }), {
  size: 100,
  inputs,
  padding: evaluation.padding,
}))
  kept.push(b);
const answers = async (m) => {
  const session = await openModel(m, { threads });
  const right = [];
  for (const b of kept) {
    const scores = Object.values(await session.run(b.feeds[0]))[0];
    const classes = scores.dims[1];
    b.samples.forEach((s, i) => {
      const row = scores.data.subarray(i * classes, (i + 1) * classes);
      right.push(row.indexOf(Math.max(...row)) === s.label ? 1 : 0);
    });
  }
  await session.close();
  return right;
};
const mean = (x) => (100 * x.reduce((a, b) => a + b, 0)) / x.length;
const float = await answers(model);
const rng = createRng(1, 'halves'); // samples of interleaved classes must not be split by their position
const halves = float.map(() => rng.int(2));
const rankCorrelation = (a, b) => pearsonOf(ranks(Float64Array.from(a)), ranks(Float64Array.from(b)));
const names = uniqueLabels(model.graph.topological());
const rows = [];
for (const [node, name] of names) {
  const layer = sensitivity.layers.find((l) => l.node === name);
  if (!layer) continue;
  const right = await answers(quantizeOne(common, node));
  const half = (which) =>
    mean(float.filter((_, i) => halves[i] === which)) - mean(right.filter((_, i) => halves[i] === which));
  const changed = right.reduce((n, r, i) => n + (r === float[i] ? 0 : 1), 0);
  rows.push({
    name,
    score: layer.score,
    drop: mean(float) - mean(right),
    error: (100 * Math.sqrt(changed)) / right.length,
    first: half(0),
    second: half(1),
  });
}
if (o.each)
  for (const r of rows)
    console.log(
      `  ${r.name.padEnd(28)} score ${r.score.toExponential(2)}  drop ${r.drop.toFixed(3)} ± ` +
        `${r.error.toFixed(3)} points`,
    );
const of = (key) => rows.map((r) => r[key]);
console.log(
  `  float top-1 ${mean(float).toFixed(2)} % of ${float.length} images; drops ` +
    `${Math.min(...of('drop')).toFixed(2)} … ${Math.max(...of('drop')).toFixed(2)} points, ` +
    `${rows.filter((r) => Math.abs(r.drop) > 2 * r.error).length} of ${rows.length} beyond twice their standard ` +
    'error',
);
console.log(
  `  Spearman score ~ drop ${rankCorrelation(of('score'), of('drop'))?.toFixed(3)}; the drops on one half of ` +
    `the images ~ on the other half ${rankCorrelation(of('first'), of('second'))?.toFixed(3)}`,
);
