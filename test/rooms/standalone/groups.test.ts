/** `modelGroups` and `quantize groups`: what is told is what taking channels out really saves. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { saveModel } from '../../../src/onnx/files.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import { modelGroups, type ModelGroups } from '../../../src/standalone/groups.js';
import { runCli } from '../cli/run-cli.js';

const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-groups-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));
const file = path.join(temp, 'net.onnx');
saveModel(
  parseModel(
    `<ir_version: 10, opset_import: ["" : 17]> g (float[N,3,8,8] x) => (y)
      <float[8,3,3,3] w1, float[8] b1, float[4,8,1,1] w2, float[8,4,1,1] w3, float[8,5] f>
      { c1 = Conv <pads: ints = [1,1,1,1]> (x, w1, b1)  r1 = Relu (c1)  c2 = Conv (r1, w2)  r2 = Relu (c2)
        c3 = Conv (r2, w3)  a = Add (c3, r1)  p = GlobalAveragePool (a)  l = Flatten (p)  y = MatMul (l, f) }`,
    { randomInitializers: 2 },
  ),
  file,
);

describe('modelGroups()', () => {
  it('tells what goes together, and what that saves', async () => {
    const found = await modelGroups({ file, share: 0.5 });
    // 64 places of 27, 8 and 4 products for each of 8, 4 and 8 channels, and 8 · 5
    expect(found).toMatchObject({ macs: 64 * (8 * 27 + 4 * 8 + 8 * 4) + 40, parameters: 216 + 8 + 32 + 32 + 40 });
    expect(found.bytes).toBe(4 * found.parameters);
    expect(found.groups.map((g) => [g.makers, g.units, g.each, g.summed, g.taken])).toEqual([
      [['w1', 'w3'], 8, 1, true, 4],
      [['w2'], 4, 1, false, 2],
    ]);
    const [stream, inner] = found.groups;
    expect(stream!.one).toEqual({ macs: 64 * (27 + 4 + 4) + 5, parameters: 27 + 1 + 4 + 4 + 5, bytes: 164 });
    expect(inner!.some).toEqual({ macs: 2 * 64 * (8 + 8), parameters: 2 * (8 + 8), bytes: 128 });
    expect(inner!.tensors).toContainEqual({ name: 'w3', axis: 1, constant: true });
    expect(inner!.tensors).toContainEqual({ name: 'r2', axis: 1, constant: false });
    const { least, median, greatest } = inner!.importance;
    expect(least).toBeGreaterThan(0);
    expect([least <= median, median <= greatest]).toEqual([true, true]);
  });
  it('scans what the outputs change without shares of each group', async () => {
    const recipe = await resolveRecipe(
      {
        model: file,
        version: 1,
        calibration: { data: { synthetic: 'both', count: 8, preprocess: {} }, samples: 8, batchSize: 4 },
      },
      { baseDir: temp },
    );
    const { groups } = await modelGroups({ file, recipe, scan: [0.25, 0.75] });
    for (const { scan } of groups) {
      expect(scan!.map((s) => s.share)).toEqual([0.25, 0.75]);
      expect(scan![0]!.change).toBeGreaterThan(0);
      expect(scan![1]!.change).toBeGreaterThan(scan![0]!.change);
    }
    await expect(modelGroups({ file, scan: [0.5] })).rejects.toMatchObject({ code: 'DATA_MISSING' });
  });
  it('refuses names that are none, and measures without samples', async () => {
    await expect(modelGroups({ file, importance: { name: 'l3' } })).rejects.toMatchObject({
      code: 'RECIPE_UNKNOWN_NAME',
    });
    await expect(modelGroups({ file, importance: { name: 'taylor' } })).rejects.toMatchObject({ code: 'DATA_MISSING' });
  });
});
describe('quantize groups', () => {
  it('prints a table, and JSON with times', async () => {
    const { code, out } = await runCli('groups', file, '--tensors');
    expect(code).toBe(0);
    expect(out).toMatch(/w1 and 1 more +8 +sum/);
    expect(out).toContain('axis 1 of constant w3');
    const timed = JSON.parse((await runCli('groups', file, '--json', '--latency', '--runs', '20')).out) as ModelGroups;
    expect(timed.ms).toBeGreaterThan(0);
    expect(timed.groups.map((g) => typeof g.some.ms)).toEqual(['number', 'number']);
  });
  it('checks its flags', async () => {
    expect((await runCli('groups', file, '--share', '1.5')).code).toBe(2);
    expect((await runCli('groups', file, '--latency', '--runs', '0')).code).toBe(2);
  });
});
