/** `auto` and `compare` with plug-ins of the user's own: an observer that recipes and the search name, and a gate. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRun } from '../../src/record/read.js';
import { loadRecipe } from '../../src/recipe/load.js';
import { runRecipe } from '../../src/pipeline/run.js';
import { runCli } from '../rooms/cli/run-cli.js';
import { weight, writeModel, writeNpy } from '../rooms/pipeline/models.js';

const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-plug-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const file = (name: string): string => path.join(root, name);
/** A range that is twice as wide as what calibration saw, and a limit on the scale of what the last run made. */
const MINE = `
export const observers = [{
  name: 'roomy', doc: 'Twice the range that calibration saw.', statistic: 'range',
  chooseRange: (stats) => ({ min: [...stats.min].map((x) => 2 * x), max: [...stats.max].map((x) => 2 * x) }),
}];
export const gates = [{
  name: 'fewFloatNodes', doc: 'Most nodes that stay float.',
  judge(run) {
    const observed = run.nodes.filter((n) => n.macs > 0 && n.planned === 'float').length;
    return { verdict: observed <= 0 ? 'pass' : 'fail', text: observed + ' products in float; at most 0', bound: 'max', limit: 0, observed };
  },
}];
`;
const recipe = (observer: string, more = ''): string => `version: 1
model: m.onnx
plugins: [ ./mine.mjs ]
calibration: { data: { npy: x.npy }, cache: false }
quantize: { format: qdq, activations: { observer: ${observer} }${more} }
evaluation:
  data: { npy: x.npy, labels: labels.npy }
  metrics: [ top1 ]
  latency: { runs: 5, memory: false }
  layers: false
  profile: false
gate: { fewFloatNodes: {} }
`;
beforeAll(() => {
  writeModel(
    file('m.onnx'),
    `g (float[N,16] x) => (float[N,4] y) <${weight('w', [16, 32])}, ${weight(
      'v',
      [32, 4],
    )}> { a = MatMul(x, w) r = Relu(a) y = MatMul(r, v) }`,
  );
  writeNpy(file('x.npy'), [120, 16]);
  writeNpy(
    file('labels.npy'),
    [120],
    Array.from({ length: 120 }, (_, i) => i % 4),
  );
  writeFileSync(file('mine.mjs'), MINE);
  writeFileSync(file('roomy.yaml'), recipe('roomy'));
  writeFileSync(file('minmax.yaml'), recipe('minmax'));
  writeFileSync(file('left-out.yaml'), recipe('roomy', ', exclude: [ { position: last } ]'));
});

/** Scales of activations by name. */
const scales = (folder: string): Map<string, number> =>
  new Map(
    readRun(folder).points.flatMap((p) =>
      p.role === 'activation' && p.scale?.[0] !== undefined ? [[p.name, p.scale[0]] as const] : [],
    ),
  );

describe("plug-ins of the user's own, end to end", () => {
  it('compare ranks by their gate, with ranges by their observer', async () => {
    const out = file('compared');
    const names = ['roomy', 'minmax', 'left-out'];
    const { code, err } = await runCli('compare', ...names.map((n) => file(`${n}.yaml`)), '--out', out);
    expect([code, err]).toEqual([0, expect.any(String)]);
    const record = JSON.parse(readFileSync(path.join(out, 'compare.json'), 'utf8')) as {
      runs: { label: string; folder: string; outcome: string; gate?: { verdict: string; rules: { name: string }[] } }[];
      chosen?: { label: string };
    }; // written by the command
    expect(record.runs.map((r) => [r.label, r.outcome, r.gate?.verdict])).toEqual([
      ['roomy', 'ok', 'pass'],
      ['minmax', 'ok', 'pass'],
      ['left-out', 'ok', 'fail'],
    ]);
    expect(record.runs[0]!.gate!.rules.map((r) => r.name)).toEqual(['fewFloatNodes']);
    expect(record.chosen?.label).not.toBe('left-out');
    const [roomy, minmax] = record.runs.map((r) => scales(path.join(out, r.folder)));
    expect(roomy!.size).toBeGreaterThan(1);
    for (const [name, scale] of minmax!) expect(roomy!.get(name)! / scale, name).toBeCloseTo(2, 5);
  }, 120_000);
  it('auto tries the recipe with them, and the recipe that it writes finds them again', async () => {
    const out = file('deep/er/found');
    const { code, err } = await runCli(
      'auto',
      '--recipe',
      file('roomy.yaml'),
      '--max-accuracy-drop',
      '90%',
      '--objective',
      'size',
      '--time-budget',
      '60s',
      '--out',
      out,
    );
    expect([code, err]).toEqual([0, expect.any(String)]);
    const record = readRun(out);
    // The recipe's own way is a candidate, and ran.
    const own = record.search!.trials.filter((t) => t.settings.includes('roomy'));
    expect(own.length).toBeGreaterThan(0);
    expect(own.every((t) => t.outcome === 'ok')).toBe(true);
    expect(record.recipe.plugins?.length).toBe(1);
    expect(record.gate?.rules.map((r) => r.name)).toEqual(['fewFloatNodes']);
    const again = await loadRecipe(path.join(out, 'recipe.yaml'), { set: ['evaluation.latency=false'] });
    expect(again.plugins.observers.map((o) => o.name)).toContain('roomy');
    expect(again.recipe.gate).toMatchObject({ fewFloatNodes: {} });
    const { record: rerun } = await runRecipe({ recipe: again, outDir: file('again') });
    expect(rerun.files.find((f) => f.path === 'model.onnx')?.sha256).toBe(
      record.files.find((f) => f.path === 'model.onnx')?.sha256,
    );
    expect(rerun.gate?.rules.map((r) => r.name)).toEqual(['fewFloatNodes']);
  }, 120_000);
});
