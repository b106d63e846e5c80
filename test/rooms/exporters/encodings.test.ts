/** Encodings say what the record says, in the terms of converters, and refuse what they cannot. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../../src/onnx/files.js';
import type { RunRecord } from '../../../src/record/index.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { loadRecipe } from '../../../src/recipe/load.js';
import { weight, writeModel, writeNpy } from '../pipeline/models.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-encodings-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const file = (...names: string[]): string => path.join(dir, ...names);

interface Encoding {
  bitwidth: number;
  is_symmetric: string;
  min: number;
  max: number;
  offset: number;
  scale: number;
}
interface Encodings {
  version: string;
  activation_encodings: Record<string, Encoding[]>;
  param_encodings: Record<string, Encoding[]>;
}
const RECIPE = `version: 1
model: m.onnx
calibration: { data: { npy: x.npy }, cache: false }
evaluation: { latency: false, profile: false, layers: false }
`;
async function run(name: string, more: string, recipe = RECIPE): Promise<RunRecord> {
  writeFileSync(file(`${name}.yaml`), recipe + more);
  return (await runRecipe({ recipe: await loadRecipe(file(`${name}.yaml`)), outDir: file(name) })).record;
}
const encodings = (name: string): Encodings =>
  JSON.parse(readFileSync(file(name, 'float.encodings'), 'utf8')) as Encodings;

beforeAll(() => {
  writeModel(
    file('m.onnx'),
    `g (float[N,3,8,8] x) => (float[N,4] y) <${weight('w', [6, 3, 3, 3])}, ${weight('b', [6])}, ${weight(
      'v',
      [6, 4],
    )}> {
      a = Conv(x, w, b) r = Relu(a) p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, v) }`,
  );
  writeNpy(file('x.npy'), [16, 3, 8, 8]);
});

describe('encodings', () => {
  it('have the scales and zero points of the record, and the grid of their type', async () => {
    const record = await run('plain', 'exports: [ encodings ]\n');
    const { activation_encodings: a, param_encodings: p, version } = encodings('plain');
    expect(version).toBe('0.6.1');
    const points = record.points.filter((x) => x.scale && x.dtype !== 'int32');
    expect(Object.keys({ ...a, ...p }).sort()).toEqual(points.map((x) => x.name).sort());
    for (const { name, role, scale = [], zeroPoint = [], dtype } of points) {
      const found = (role === 'weight' ? p : a)[name]!; // the keys are those of the points
      expect(found.map((e) => e.scale)).toEqual(scale);
      const low = dtype === 'uint8' ? 0 : -127; // weights are narrow
      expect(found.map((e) => e.offset)).toEqual(zeroPoint.map((z) => low - z));
      for (const e of found) {
        expect([e.bitwidth, e.min, e.max]).toEqual([
          8,
          e.offset * e.scale,
          (e.offset + (dtype === 'uint8' ? 255 : 254)) * e.scale,
        ]);
        expect(e.min).toBeLessThanOrEqual(0);
      }
    }
    expect(p.w).toHaveLength(6);
    expect(p.b).toBeUndefined();
  });
  it('belong to a float model with tensors of these names', async () => {
    await run('names', 'exports: [ { name: encodings, biases: true } ]\n');
    const { activation_encodings: a, param_encodings: p } = encodings('names');
    const { graph } = loadModel(file('names', 'float.onnx'));
    const names = new Set(
      [...graph.inputs, ...graph.initializers, ...[...graph.nodes].flatMap((n) => n.outputs)].map((v) => v.name),
    );
    expect(Object.keys({ ...a, ...p }).filter((n) => !names.has(n))).toEqual([]);
    expect(p.b?.map((e) => e.bitwidth)).toEqual(Array(6).fill(32));
    expect([...graph.initializers].every((v) => v.dtype === 'float32')).toBe(true);
  });
  it('refuse blocks, by tensor', async () => {
    writeModel(file('m2.onnx'), `g (float[N,64] x) => (float[N,64] y) <${weight('v', [64, 64])}> { y = MatMul(x, v) }`);
    writeNpy(file('x2.npy'), [4, 64]);
    const quantize =
      'quantize: { format: weight-only, weights: { dtype: uint4, symmetric: false, granularity: { block: 16 } } }\n';
    const recipe = RECIPE.replace('m.onnx', 'm2.onnx').replace('x.npy', 'x2.npy');
    await expect(run('blocks', `${quantize}exports: [ encodings ]\n`, recipe)).rejects.toThrow(
      /'\w' has a scale for each block/,
    );
  });
});

describe('an exporter of a plug-in', () => {
  it('whose file is a model ships it: size limits weigh that, and model.onnx goes with it', async () => {
    writeFileSync(
      file('tiny.mjs'),
      `export const exporters = [{ name: 'tiny', doc: 'Ten bytes.',
        export: () => [{ path: 'net.bin', role: 'model', data: new Uint8Array(10) }] }];`,
    );
    const limit = 10.5 / readFileSync(file('m.onnx')).length;
    const record = await run(
      'tiny',
      `plugins: [ ./tiny.mjs ]\nexports: [ tiny ]\ngate: { sizeRatio: { max: ${limit} } }\n`,
    );
    expect(record.files.map((f) => [f.path, f.role])).toEqual([
      ['model.onnx', 'sidecar'],
      ['net.bin', 'model'],
    ]);
    expect([record.model.quantized?.name, record.model.quantized?.bytes]).toEqual(['net.bin', 10]);
    expect(record.gate?.verdict).toBe('pass');
  });
  it.each([
    ['nothing', '[]', /gave no files/],
    ['a folder', "[{ path: '../x', role: 'sidecar', data: '' }]", /'\.\.\/x': names are up to 100 letters/],
    ['the name of a report', "[{ path: 'report.md', role: 'sidecar', data: '' }]", /'report\.md': the name is taken/],
    ['one name twice', "[1, 2].map(() => ({ path: 'a', role: 'sidecar', data: '' }))", /'a': the name is taken/],
    ['another role', "[{ path: 'a', role: 'weights', data: '' }]", /gave no files: .*role/],
  ])('that gives %s is refused', async (what, files, message) => {
    const name = what.replaceAll(' ', '-');
    writeFileSync(
      file(`${name}.mjs`),
      `export const exporters = [{ name: 'odd', doc: 'Odd.', export: () => ${files} }];`,
    );
    await expect(run(name, `plugins: [ ./${name}.mjs ]\nexports: [ odd ]\n`)).rejects.toThrow(message);
  });
});
