/** Folders for runtimes, from one calibration; float models for them; limits that hold there. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { item, named } from '../../../src/base/lists.js';
import { asksOf, judgeRun, type GateSettings } from '../../../src/gate/index.js';
import { loadModel } from '../../../src/onnx/files.js';
import { frontOf } from '../../../src/pipeline/front-of.js';
import { runRecipe, runRecipes } from '../../../src/pipeline/run.js';
import { loadRecipe, loadRecipes } from '../../../src/recipe/load.js';
import type { RunRecord } from '../../../src/record/index.js';
import { convertModel } from '../../../src/standalone/convert.js';
import { verifyRun } from '../../../src/standalone/verify.js';
import { batching } from '../../../src/targets/triton/emit.js';

const shipped = path.join(import.meta.dirname, '..', '..', '..');
const recipeFile = path.join(shipped, 'recipes', 'int8-minmax.yaml');
const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-test-'));
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});
const NAMES = ['onnxruntime-cpu', 'openvino', 'tensorrt', 'pytorch', 'mindspore', 'triton'];
const LESS = [
  'evaluation.latency=false',
  'evaluation.samples=64',
  'evaluation.layers=false',
  'evaluation.profile=false',
];

describe('several runtimes that do not run here', () => {
  const samples = async (...set: string[]): Promise<(number | undefined)[]> => {
    const recipes = await loadRecipes(recipeFile, { set: ['calibration.samples=16', ...LESS, ...set] });
    const runs = recipes.map((recipe, i) => ({ recipe, outDir: path.join(root, 'few', String(i)) }));
    const results = await runRecipes({ runs, title: 'few' });
    return results.map((r) => (r.error ? undefined : r.record.evaluation?.samples));
  };
  it('share the samples of an evaluation, each taking a few; what runs here takes all', async () => {
    const three = 'target=[onnxruntime-cpu, openvino, mindspore]';
    expect(await samples(three, 'evaluation.simulatedSamples=10')).toEqual([64, 10, 10]);
    expect(await samples(three, 'evaluation.simulatedSamples=all')).toEqual([64, 64, 64]);
    expect(await samples('target=openvino', 'evaluation.simulatedSamples=10')).toEqual([64]);
  });
  it('are not several recipes for one of them, which are to be compared', async () => {
    const two = ['target=openvino', 'quantize.activations.observer=[minmax, kl]'];
    expect(await samples(...two, 'evaluation.simulatedSamples=10')).toEqual([64, 64]);
  });
});

describe('a type of the other sign than a runtime takes', () => {
  const run = async (...set: string[]): Promise<{ readonly file: Buffer; readonly told: string[] }> => {
    const recipe = await loadRecipe(recipeFile, { set: ['calibration.samples=16', 'target=litert', ...LESS, ...set] });
    const { record, outDir } = await runRecipe({ recipe, outDir: path.join(root, 'sign') });
    const told = record.diagnostics.filter((d) => d.code === 'TYPE_SIGN').map((d) => d.message);
    return { file: readFileSync(path.join(outDir, 'model.tflite')), told };
  };
  it('is written in its own, to the same levels', async () => {
    const own = await run();
    expect(own.told).toEqual([]);
    const other = await run('quantize.activations.dtype=uint8');
    expect(other.told).toEqual([
      'target litert takes int8 where the recipe names uint8: the same levels are written in it',
    ]);
    expect(other.file.equals(own.file)).toBe(true);
    const layer = await run('quantize.layers=[{ match: "*", activations: { dtype: uint8 } }]');
    expect(layer.told).toHaveLength(1);
    expect(layer.file.equals(own.file)).toBe(true);
  });
  it('is refused where the symmetry does not fit either', async () => {
    const asked = run('target=ncnn', 'quantize.activations.symmetric=false');
    await expect(asked).rejects.toMatchObject({ code: 'RECIPE_INVALID' });
  });
});

describe('a list of runtimes', () => {
  const records = new Map<string, RunRecord>();
  const stages: string[] = [];
  beforeAll(async () => {
    const set = [`target=[${NAMES.join(', ')}]`, 'calibration.cache=false', 'calibration.samples=16', ...LESS];
    const recipes = await loadRecipes(recipeFile, { set });
    expect(new Set(recipes.map(frontOf)).size).toBe(1);
    const runs = recipes.map((recipe) => ({ recipe, outDir: path.join(root, recipe.recipe.target) }));
    const results = await runRecipes({
      runs,
      title: 'all',
      onEvent: (e) => {
        if (e.type === 'stage-start') stages.push(e.stage);
      },
    });
    for (const r of results) if (!r.error && r.record.target) records.set(r.record.target.name, r.record);
  });
  const text = (...parts: string[]): string => readFileSync(path.join(root, ...parts), 'utf8');

  it('is calibrated once', () => {
    expect(stages.filter((s) => s === 'calibrate')).toEqual(['calibrate']);
    expect([...records.keys()]).toEqual(NAMES);
  });
  it('gives each a folder with what it loads and how', () => {
    for (const name of NAMES) {
      const { target, files } = named(records, name);
      expect(existsSync(path.join(root, name, target?.artefact ?? '')), name).toBe(true);
      expect(text(name, 'README.md'), name).toContain(`for ${name}`);
      expect(files.map((f) => f.path)).toContain('README.md');
      expect(target?.verified).toBeUndefined();
    }
    expect(text('tensorrt', 'calibration.cache')).toMatch(/^TRT-100000-EntropyCalibration2\n(.+: [0-9a-f]{8}\n)+$/);
    expect(text('triton', 'demo', 'config.pbtxt')).toContain('backend: "onnxruntime"');
    expect(text('mindspore', 'quantize.cfg')).toContain('calibrate_size=16');
    expect(existsSync(path.join(root, 'pytorch', 'simulated.onnx'))).toBe(true);
  });
  it('measures equal files once, and gives what was measured to both', () => {
    const [here, server] = [named(records, 'onnxruntime-cpu'), named(records, 'triton')];
    const hash = (r: RunRecord): string | undefined =>
      r.files.find((f) => /^(demo\/1\/)?(model|simulated)\.onnx$/.test(f.path))?.sha256;
    expect(hash(server)).toBe(hash(here));
    expect(server.evaluation).toEqual(here.evaluation);
    expect(server.runtime).toEqual(here.runtime);
  });
  it('keeps biases and activations as each wants them', () => {
    const types = (name: string, file: string): Set<string> => {
      const { graph } = loadModel(path.join(root, name, file));
      const dequantized = [...graph.nodes].filter((n) => n.op === 'DequantizeLinear');
      return new Set(dequantized.map((n) => n.inputs[0]?.data?.dtype ?? `activation ${n.inputs[2]?.data?.dtype}`));
    };
    expect(types('tensorrt', 'model.onnx')).toEqual(new Set(['int8', 'activation int8']));
    expect(types('openvino', 'model.onnx')).toEqual(new Set(['int8', 'int32', 'activation uint8']));
  });
  it('stores a program whose tensors are those of the codes', () => {
    const bytes = readFileSync(path.join(root, 'pytorch', 'program.safetensors'));
    const length = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, { data_offsets: number[] }>;
    const ends = Object.values(header).map((t) => item(t.data_offsets, 1));
    expect(Math.max(...ends)).toBe(bytes.length - 8 - length);
    const program = JSON.parse(text('pytorch', 'program.json')) as { layers: { op: string; integer: boolean }[] };
    expect(program.layers.filter((l) => l.op === 'Conv').every((l) => l.integer)).toBe(true);
  });
  it('says that limits of a runtime are undecided until it was verified there', () => {
    const settings = {
      confidence: 0.95,
      targets: { openvino: { accuracyDrop: { max: { points: 1 } } } },
    } as unknown as GateSettings;
    const openvino = named(records, 'openvino');
    expect(judgeRun(openvino, settings)).toMatchObject({
      verdict: 'undecided',
      rules: [{ name: 'openvino: accuracyDrop' }],
    });
    expect(asksOf(named(records, 'tensorrt'), settings)).toBe(false);
  });
  it('refuses to verify where no Python was given, and what runs here anyway', async () => {
    const [recipe] = await loadRecipes(recipeFile);
    const options = (name: string): Parameters<typeof verifyRun>[0] => ({
      folder: path.join(root, name),
      record: named(records, name),
      recipe: item(recipe ? [recipe] : [], 0),
      threads: 1,
      latency: false,
      report: () => undefined,
    });
    await expect(verifyRun(options('openvino'))).rejects.toThrow(/no Python was given that has openvino/);
    await expect(verifyRun(options('tensorrt'))).rejects.toThrow(/nothing can be verified there/);
    const missing = { ...options('openvino'), python: path.join(root, 'no-python') };
    await expect(verifyRun(missing)).rejects.toMatchObject({ code: 'VERIFY_RUNTIME' });
  });
});

describe('convert', () => {
  const how = { shapes: () => new Map<string, number[]>(), recipe: undefined, report: () => undefined };
  const file = path.join(shipped, 'calibration-data', 'demo.onnx');
  it('writes the float model for a runtime', async () => {
    const outDir = path.join(root, 'float');
    const made = await convertModel({ ...how, file, target: 'tensorrt', precision: 'float16', outDir });
    expect(made.artefact).toBe('model.onnx');
    const weights = [...loadModel(path.join(outDir, 'model.onnx')).graph.initializers].map((v) => v.data?.dtype);
    expect(weights).toContain('float16');
  });
  it('refuses a precision that the runtime is not written in', async () => {
    const wrong = convertModel({
      ...how,
      file,
      target: 'pytorch',
      precision: 'float16',
      outDir: path.join(root, 'no'),
    });
    await expect(wrong).rejects.toBeInstanceOf(QuantError);
    await expect(wrong).rejects.toThrow(/pytorch is not written in float16/);
  });
});

it('Triton puts requests together where that gives a tenth more', () => {
  const times = [
    [1, 1],
    [2, 1.6],
    [4, 3.1],
    [8, 4.6],
  ] as const;
  expect(batching(new Map(times))).toEqual({ preferred: [2, 8], delay: 1000 });
  expect(
    batching(
      new Map([
        [1, 1],
        [2, 2.1],
      ]),
    ),
  ).toEqual({ preferred: [], delay: 1000 });
});
