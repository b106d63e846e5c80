/** A model whose accuracy depends on the CPU is told of, in one way everywhere. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { saturationEffect } from '../../../src/analyse/saturation-effect.js';
import { saturatingLayers } from '../../../src/analyse/saturation.js';
import { gateSpec } from '../../../src/gate/index.js';
import { rank, type Finished } from '../../../src/compare/rank.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { loadRecipe } from '../../../src/recipe/load.js';
import type { RunRecord } from '../../../src/record/index.js';
import { renderHtml } from '../../../src/report/html.js';
import { renderMarkdown } from '../../../src/report/markdown.js';
import { environment, u8s8Saturates } from '../../../src/runtime/environment.js';
import { flips, latencyOf, runWith } from '../gate/helpers.js';
import { f32, header, prepareText, rewrite } from '../analyse/helpers.js';

const recipeFile = path.join(import.meta.dirname, '..', '..', '..', 'recipes', 'int8-minmax.yaml');
const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-saturation-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const quick = [
  'calibration.cache=false',
  'calibration.samples=32',
  'evaluation.samples=100',
  'evaluation.latency=false',
  'evaluation.layers=false',
  'evaluation.profile=false',
];
async function run(out: string, ...set: string[]): Promise<RunRecord> {
  const recipe = await loadRecipe(recipeFile, { set: [...quick, ...set] });
  return (await runRecipe({ recipe, outDir: path.join(root, out) })).record;
}
const warnings = (r: RunRecord) =>
  r.diagnostics.filter((d) => d.code === 'U8S8_SATURATION' && d.severity === 'warning');

describe('a run', () => {
  it('by default, has no layer that can saturate, and says nothing of it', async () => {
    const record = await run('safe');
    expect(record.runtime?.saturation).toEqual({ risk: 'none', promised: false, products: 13, layers: [] });
    expect(warnings(record)).toEqual([]);
    expect(renderMarkdown(record)).not.toContain('depends on the CPU');
    expect(renderHtml(record)).not.toContain('id="saturation"');
  });

  it(
    'with saturation: allow, warns once, with the number of layers, the difference seen and the key that avoids ' +
      'it',
    async () => {
      const record = await run('allow', 'quantize.weights.saturation=allow');
      const layers = record.runtime!.saturation!.layers.length;
      expect(layers).toBeGreaterThan(5);
      const [warning, ...more] = warnings(record);
      expect(more).toEqual([]);
      expect(warning!.message).toMatch(
        new RegExp(
          `^${layers} of 13 integer layers can saturate on x64 CPUs without VNNI.*; there, results of '.+' move ` +
            `by [\\d.e-]+ % on one sample$`,
        ),
      );
      expect(warning!.hint).toMatch(/^set quantize\.weights\.saturation: safe/);
      for (const text of [renderMarkdown(record), renderHtml(record)]) {
        expect(text).toContain('The accuracy depends on the CPU.');
        expect(text).toContain('quantize.weights.saturation: safe avoids it');
      }
    },
  );

  it('for a target that promises VNNI, warns only where this machine has none', async () => {
    const record = await run('vnni', 'target=onnxruntime-cpu-vnni');
    expect(record.runtime!.saturation).toMatchObject({ promised: true });
    expect(record.runtime!.saturation!.layers.length).toBeGreaterThan(5);
    expect(warnings(record)).toHaveLength(u8s8Saturates(environment()) ? 1 : 0);
    expect(renderMarkdown(record)).not.toContain('depends on the CPU');
  });
});

describe('the difference', () => {
  const effect = async (text: string, format: string, x: Parameters<typeof f32>): Promise<number[]> => {
    const c = await prepareText(text, format, {
      settings: 'weights: { observer: minmax, saturation: allow }',
      feeds: [{ x: f32(...x) }],
    });
    const layers = saturatingLayers(c);
    const { float } = rewrite(c);
    return [...(await saturationEffect(float, layers, { x: f32(...x) })).values()];
  };

  it('of a product: 255 · (127 + 127) stops at 32767', async () => {
    const text = `${header}\ng (float[N,2] x) => (float[N,1] y) <float[2,1] w = {127, 127}> { y = MatMul(x, w) }`;
    for (const format of ['qdq', 'dynamic']) {
      const [moved] = await effect(text, format, [
        [1, 1],
        [1, 2],
      ]);
      expect(moved).toBeCloseTo((255 * 254 - 32767) / (255 * 254), 6);
    }
  });

  it('of a convolution, whose windows are looked at where they lie whole in the input', async () => {
    const text =
      `${header}\ng (float[1,2,4,4] x) => (float[1,1,4,4] y) <float[1,2,3,3] w = ` +
      `{${Array(18).fill(127).join(',')}}> { y = Conv<pads = [1,1,1,1]>(x, w) }`;
    const [moved] = await effect(text, 'qdq', [Array<number>(32).fill(1), [1, 2, 4, 4]]);
    expect(moved).toBeCloseTo((255 * 254 - 32767) / (255 * 254), 6);
  });

  it('is none where inputs of one of a pair are 0', async () => {
    const text = `${header}\ng (float[N,2] x) => (float[N,1] y) <float[2,1] w = {127, 127}> { y = MatMul(x, w) }`;
    expect(
      await effect(text, 'qdq', [
        [1, 0],
        [1, 2],
      ]),
    ).toEqual([0]);
  });
});

it('compare does not choose a run whose accuracy depends on VNNI, and says so', () => {
  const settings = gateSpec.parse({ accuracyDrop: { max: '0.5 points' } });
  const one = (label: string, speed: number, risk: 'none' | 'elsewhere', promised = false): Finished => {
    const record = runWith({
      name: label,
      paired: flips(3, 3, 9894, 100),
      metric: { quantized: 90 },
      latency: latencyOf(speed),
    });
    const runtime = {
      integerMacsShare: 1,
      ops: {},
      unfused: [],
      floatCompute: [],
      saturation: {
        risk,
        promised,
        products: 1,
        layers: risk === 'none' ? [] : [{ node: 'a', worst: 1.9, share: 0.1 }],
      },
    };
    return { label, folder: label, record: { ...record, runtime } };
  };
  const ranked = rank([one('safe', 2, 'none'), one('allow', 3, 'elsewhere')], settings);
  expect(ranked.chosen?.label).toBe('safe');
  expect(ranked.notes.find((n) => n.startsWith('allow cannot be chosen'))).toContain(
    'quantize.weights.saturation: safe',
  );
  expect(rank([one('safe', 2, 'none'), one('vnni', 3, 'elsewhere', true)], settings).chosen?.label).toBe('vnni');
});
