/** The projects in examples/ run as their READMEs say, against the source of the package. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { optimizeGraph, parseModel } from '../../src/index.js';
import { loadPlugins } from '../../src/recipe/plugins.js';
import { main as compare } from '../../examples/compare-recipes/main.mjs';
import { main as gate } from '../../examples/gate-in-ci/main.mjs';
import { main as library } from '../../examples/library-run/main.mjs';
import { main as own } from '../../examples/own-data-and-metric/main.mjs';
import { main as plugins } from '../../examples/own-plugins/main.mjs';
import { main as training } from '../../examples/training/main.mjs';

const examples = path.join(import.meta.dirname, '..', '..', 'examples');
const out = mkdtempSync(path.join(os.tmpdir(), 'quantbench-examples-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

describe('examples', () => {
  const names = readdirSync(examples, { withFileTypes: true })
    .filter((e) => e.isDirectory())
    .map((e) => e.name);
  it.each(names)('%s has a README and is in the list', (name) => {
    expect(existsSync(path.join(examples, name, 'README.md'))).toBe(true);
    expect(readFileSync(path.join(examples, 'README.md'), 'utf8')).toContain(`(${name}/README.md)`);
  });
  it('docs/plugins.md shows the code of own-plugins', () => {
    const doc = readFileSync(path.join(examples, '..', 'docs', 'plugins.md'), 'utf8');
    for (const file of readdirSync(path.join(examples, 'own-plugins')).filter((f) => /^(?!main).*\.mjs$/.test(f))) {
      const code = readFileSync(path.join(examples, 'own-plugins', file), 'utf8')
        .replace('// @ts-check\n', '')
        .trimStart();
      expect(doc, file).toContain(`\`\`\`js\n${code}\`\`\``);
    }
  });
  it('gate-in-ci passes, and fails where a limit is not kept', async () => {
    const good = await gate(path.join(out, 'gate'));
    expect([good.exitCode, good.gate.rules.map((r) => [r.name, r.verdict])]).toEqual([
      0,
      [
        ['accuracyDrop', 'pass'],
        ['sizeRatio', 'pass'],
        ['integerMacs', 'pass'],
      ],
    ]);
    expect(readFileSync(path.join(out, 'gate', 'junit.xml'), 'utf8')).toContain('<testsuite');
    expect((await gate(path.join(out, 'gate'), ['gate.sizeRatio.max=0.1', 'evaluation.samples=50'])).exitCode).toBe(1);
  });
  it('own-plugins names all seven in the record, and keeps the accuracy', async () => {
    const record = await plugins(path.join(out, 'plugins'));
    expect(record.recipe.plugins?.map((p) => [p.file, ...p.adds])).toEqual([
      ['observer.mjs', 'observer deviations'],
      ['pass.mjs', 'pass merge-relus', 'pass forget-docs'],
      ['weight-method.mjs', 'weight method fit-scale'],
      ['gate.mjs', 'gate fitsFlash'],
      ['target.mjs', 'target tiny-npu'],
      ['exporter.mjs', 'exporter scale-table'],
      ['importance.mjs', 'importance spread'],
    ]);
    expect(record.files.map((f) => [f.path, f.role])).toEqual([
      ['model.onnx', 'model'],
      ['scales.txt', 'sidecar'],
    ]);
    const scales = readFileSync(path.join(out, 'plugins', 'scales.txt'), 'utf8')
      .trim()
      .split('\n');
    expect(scales.length).toBeGreaterThan(5);
    expect(scales.filter((line) => !/^\S+ \d\S* \d+$/.test(line))).toEqual([]);
    expect(record.gate?.rules.map((r) => [r.name, r.verdict])).toEqual([
      ['accuracyDrop', 'pass'],
      ['fitsFlash', 'pass'],
    ]);
    expect(record.evaluation?.metrics[0]?.quantized).toBeGreaterThan(96);
    const weights = record.points.filter((p) => p.role === 'weight');
    expect(weights.length).toBeGreaterThan(5);
    expect(weights.every((p) => p.scale?.length === 1)).toBe(true); // as the target wants
  });
  it('own-plugins/pass.mjs makes one Relu of three, and forgets texts', async () => {
    const text =
      '<ir_version: 8, opset_import: ["" : 17], metadata_props: ["author": "me"]> g (float[4] x) => (float[4] ' +
      'y) { a = Relu(x) b = Relu(a) y = Relu(b) }';
    const model = parseModel(text);
    const traces = await optimizeGraph(model, {
      level: 'basic',
      plugins: await loadPlugins([path.join(examples, 'own-plugins', 'pass.mjs')]),
      passes: ['merge-relus', 'forget-docs'],
    });
    expect([...model.graph.nodes].map((n) => n.op)).toEqual(['Relu']);
    expect([model.metadata.size, traces.map((t) => [t.pass, t.changes])]).toEqual([
      0,
      [
        ['merge-relus', 2],
        ['forget-docs', 1],
      ],
    ]);
  });
  it('training learns with weights of 3 bits', async () => {
    const { losses } = await training(path.join(out, 'training'));
    expect(losses[0]).toBeGreaterThan(0.5);
    expect(losses.at(-1)).toBeLessThan(0.2);
    expect(existsSync(path.join(out, 'training', 'step.onnx'))).toBe(true);
  });
  it('compare-recipes ranks four runs', async () => {
    const { runs } = await compare(path.join(out, 'compare'));
    expect(runs.map((r) => [r.label, r.outcome])).toEqual([
      ['observer=minmax granularity=channel', 'ok'],
      ['observer=minmax granularity=tensor', 'ok'],
      ['observer=mse granularity=channel', 'ok'],
      ['observer=mse granularity=tensor', 'ok'],
    ]);
    expect(existsSync(path.join(out, 'compare', 'compare.html'))).toBe(true);
  });
  it('library-run takes the Transposes away and makes the file smaller', async () => {
    const { nodes, agreement, stages, bytes } = await library(path.join(out, 'library'));
    expect([nodes, agreement.feeds > 0]).toEqual([{ before: 4, after: 2 }, true]);
    expect(stages).toEqual(expect.arrayContaining(['optimise', 'plan', 'quantize', 'evaluate', 'verify']));
    expect(bytes.quantized).toBeLessThan(bytes.float / 2);
  });
  it('own-data-and-metric measures the margin of both models', async () => {
    const { evaluation } = await own(path.join(out, 'own'));
    const [margin, top1] = evaluation?.metrics ?? [];
    expect([margin?.name, margin?.unit, top1?.name]).toEqual(['margin', 'logits', 'top1']);
    expect(Math.abs(margin!.quantized - margin!.float!)).toBeLessThan(1); // a logit
    expect(top1!.float).toBeGreaterThan(50);
  });
});
