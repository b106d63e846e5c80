/** What runs in branches and bodies is in the list of nodes, under names of its own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { runRecipe } from '../../../src/pipeline/run.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import { runRecordSpec } from '../../../src/record/run.js';
import { renderHtml, renderMarkdown } from '../../../src/report/index.js';
import { planLines } from '../../../src/cli/plan.js';
import { weight, writeModel } from './models.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-bodies-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it('nodes of If bodies are listed with the branch that holds them', async () => {
  const model = writeModel(
    path.join(dir, 'm.onnx'),
    `g (float[1,16] x, bool a) => (float[1,8] y) <${weight('w', [16, 16])}, ${weight('u', [16, 8])}, ${weight(
      'v',
      [16, 8],
    )}> {
    [same] o = MatMul(x, w)
    [choice] y = If (a) <then_branch = t () => (float[1,8] p) { [same] p = MatMul(o, u) },
      else_branch = e () => (float[1,8] q) { [other] q = MatMul(o, v) }> }`,
  );
  writeFileSync(
    path.join(dir, 'd.mjs'),
    `export function* samples() {
      for (let s = 0; s < 8; s++) yield { feed: {
        x: { dtype: 'float32', dims: [1, 16], data: Float32Array.from({ length: 16 }, (_, i) => Math.sin(i * s + i)) },
        a: { dtype: 'bool', dims: [], data: Uint8Array.of(s % 2) } } };
    }`,
  );
  const recipe = await resolveRecipe({
    version: 1,
    model,
    calibration: { data: { module: path.join(dir, 'd.mjs') }, cache: false },
    quantize: { format: 'qdq' },
    evaluation: { latency: false, profile: false },
  });
  const { record } = await runRecipe({ recipe, outDir: path.join(dir, 'out') });
  const products = record.nodes.filter((n) => n.op === 'MatMul');
  expect(products.map((n) => [n.name, n.body, n.planned, n.macs])).toEqual([
    ['same', undefined, 'integer', 256],
    ['p', 'then_branch of choice', 'integer', 0],
    ['other', 'else_branch of choice', 'integer', 0],
  ]);
  expect(new Set(record.nodes.map((n) => n.name)).size).toBe(record.nodes.length);
  expect(runRecordSpec.parse(JSON.parse(JSON.stringify(record))).nodes).toEqual(record.nodes);
  expect(renderMarkdown(record)).toContain('| `other` in `else_branch of choice` |');
  expect(renderHtml(record)).toContain('MatMul in else_branch of choice');
  expect(planLines(record, 200).join('\n')).toContain('p in then_branch of choice');
});
