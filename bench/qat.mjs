/**
 * Quantization-aware training of ResNet-20 on CIFAR-10, one line for each grid, and the float model trained the same
 * way: `node bench/qat.mjs`. Options: --grids w4t,w4,w3,w2,ternary,float --steps 936 (6 epochs) --rate (each grid has
 * its own) --workers 2 --out reports/qat. Top-1 of the 2,000 test images, of the integer model; w4t, w4: one scale a
 * tensor, the others one a channel; w4 learns from the float model, trained the same number of steps, which is told too.
 * Needs ../shared; a grid takes four to ten minutes on two idle cores.
 */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadRecipe } from '../dist/recipe/load.js';
import { runRecipe } from '../dist/pipeline/run.js';

const { values } = parseArgs({
  options: {
    grids: { type: 'string', default: 'w4t,w4,w3,w2,ternary,float' },
    steps: { type: 'string', default: '936' },
    rate: { type: 'string' },
    workers: { type: 'string', default: '2' },
    out: { type: 'string', default: 'reports/qat' },
  },
});
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const weights = (...set) => set.map((s) => `quantize.weights.${s}`);
const FITTED = ['granularity=channel', 'method=gptq', 'correct=[bias,scale]', 'samples=512'];
/** The short row is the recipe as it is; the others train for longer, few bits from what GPTQ has found. */
const GRIDS = {
  w4t: [],
  w4: [],
  w3: [...weights('bits=3', 'granularity=channel')],
  w2: [...weights('bits=2', ...FITTED)],
  ternary: [...weights('bits=2', 'narrow=true', ...FITTED)],
  float: ['quantize.format=float', 'train.quantized=false'],
};

/** The others: int4-qat. */
const RECIPES = { w4: 'int4-qat-distill' };

/** The others: 0.001. */
const RATES = { w4: '0.0005', w2: '0.0015', ternary: '0.0015' };

for (const name of values.grids.split(',')) {
  const rate = values.rate ?? RATES[name] ?? '0.001';
  const longer = name === 'w4t' ? [] : [`train.steps=${values.steps}`, `train.rate=${rate}`];
  const set = [
    ...GRIDS[name],
    ...longer,
    `train.workers=${values.workers}`,
    'train.control=false',
    'evaluation.latency=false',
    'evaluation.layers=false',
  ];
  const recipe = await loadRecipe(path.join(root, 'recipes', 'cifar10', `${RECIPES[name] ?? 'int4-qat'}.yaml`), {
    set,
  });
  const { record } = await runRecipe({ recipe, outDir: path.join(values.out, name) });
  const fitted = record.training?.fitted.at(-1);
  const teacher = record.training?.scores.find((m) => m.name === 'teacher')?.metrics[0]?.value;
  const top1 = record.evaluation?.metrics.find((m) => m.name === 'top1');
  console.log(
    [
      name,
      `${fitted?.steps} steps`,
      `${fitted?.seconds.toFixed(0)} s`,
      `top1 ${top1?.quantized.toFixed(2)} %`,
      ...(teacher === undefined ? [] : [`its teacher ${teacher.toFixed(2)} %`]),
    ].join(' · '),
  );
}
