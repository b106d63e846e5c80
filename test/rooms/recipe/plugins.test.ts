/** The doors of recipes: plug-ins of the user's own are named, checked, run and recorded like what is built in. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { sha256File } from '../../../src/base/files.js';
import { QuantError } from '../../../src/base/errors.js';
import { gateSpec, judgeRun } from '../../../src/gate/index.js';
import { explainRecipe } from '../../../src/pipeline/explain.js';
import { optimizeFile } from '../../../src/standalone/optimize.js';
import { frontOf } from '../../../src/pipeline/front-of.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { loadModel } from '../../../src/onnx/files.js';
import { publishedSchema } from '../../../src/recipe/json-schema.js';
import { derive, loadRecipe, loadRecipes, resolveRecipe, type ResolvedRecipe } from '../../../src/recipe/load.js';
import { runCli } from '../cli/run-cli.js';
import { loadPlugins } from '../../../src/recipe/plugins.js';
import type { RunRecord } from '../../../src/record/index.js';

const repository = path.join(import.meta.dirname, '..', '..', '..');
const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-plugins-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const ZOD = pathToFileURL(path.join(repository, 'node_modules', 'zod', 'index.js')).href;

/** A module with one of each, whose effects can be seen in the file. */
const MINE = `
import { z } from ${JSON.stringify(ZOD)};
export const observers = [{
  name: 'share', doc: 'A share of the range that calibration saw.', statistic: 'range',
  options: z.strictObject({ of: z.number().gt(0).max(1).default(0.5).describe('The share.') }).refine((o) => o.of !== 0.75, 'not three quarters'),
  chooseRange: (stats, scheme, { of }) => ({ min: [...stats.min].map((x) => x * of), max: [...stats.max].map((x) => x * of) }),
}];
export const passes = [{
  name: 'rename-graph', doc: 'Gives the graph a name.', numerics: 'exact',
  run({ model }) { const done = model.graph.name === 'mine'; model.graph.name = 'mine'; return { changes: done ? 0 : 1 }; },
}, {
  name: 'double-negation', doc: 'Takes two Neg nodes away.', numerics: 'exact', pattern: 'h = Neg(x)\\n y = Neg(h)',
  rewrite: (m) => m.value('x'),
}];
export const weightMethods = [{
  name: 'even-codes', doc: 'Only even codes.', inputs: 'none',
  solve: ({ target, grid }) => ({ codes: [...target].map((w, i) => {
    const p = grid.part[i];
    return Math.min(126, Math.max(-126, 2 * Math.round(w / grid.scale[p] / 2)));
  }) }),
}];
export const gates = [{
  name: 'maxNodes', doc: 'Most nodes of the quantized model.', options: z.strictObject({ max: z.number().int() }),
  judge(run, baseline, { max }) {
    const observed = run.model.quantized?.nodes ?? Infinity;
    return { verdict: observed <= max ? 'pass' : 'fail', text: observed + ' nodes; at most ' + max, bound: 'max', limit: max, observed };
  },
}];
export const importances = [{
  name: 'first', doc: 'Keeps the first channels.', needs: 'nothing', options: z.strictObject({ twist: z.number().default(0).describe('Nothing.') }),
  score: ({ units }) => units.map((u, i) => (u.cuts.some((c) => c.index === 0) ? Infinity : 1000 - i)),
}];
export const targets = [{ name: 'signed-npu', doc: 'Signed codes for activations.', extends: 'onnxruntime-cpu', u8s8: 'exact',
  formats: ['qdq'], maxOpset: 17, defaults: { activations: { dtype: 'int8', symmetric: false }, weights: { dtype: 'int8', symmetric: true }, weightGranularity: 'tensor' } }];
`;
const mine = path.join(root, 'mine.mjs');
const recipeFile = path.join(root, 'recipe.yaml');
const data = path.join(repository, 'calibration-data');
const RECIPE = `
version: 1
model: ${path.join(data, 'demo.onnx')}
plugins: [ ./mine.mjs ]
target: signed-npu
calibration:
  data: { images: ${path.join(data, 'glyphs', 'calibration.tar')}, preprocess: { scale: 1/255, mean: 0.5, std: 0.25 } }
  samples: 16
  cache: ./cache
optimize: { add: [ rename-graph ] }
quantize:
  activations: { observer: { name: share, of: 0.9 } }
  weights: { method: even-codes }
evaluation: { layers: false, profile: false, latency: false, samples: 50 }
gate: { maxNodes: { max: 1000 } }
`;
beforeAll(() => {
  writeFileSync(mine, MINE);
  writeFileSync(recipeFile, RECIPE);
});

const set = (...list: string[]): Promise<ResolvedRecipe> => loadRecipe(recipeFile, { set: list });
const run = async (recipe: ResolvedRecipe, out: string): Promise<RunRecord> =>
  (await runRecipe({ recipe, outDir: path.join(root, out) })).record;
/** The error that a promise ends with. */
async function errorOf(promise: Promise<unknown>): Promise<QuantError> {
  const error: unknown = await promise.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error instanceof QuantError) return error;
  throw error ?? new Error('nothing was thrown');
}

describe('a run with plug-ins', () => {
  let record: RunRecord;
  beforeAll(async () => {
    record = await run(await set(), 'own');
  });

  it('takes the range of the observer, of activations and by its options', async () => {
    const plain = await run(await set('quantize.activations.observer=minmax'), 'plain');
    // the input is quantized
    const input = (r: RunRecord): number => r.points.find((p) => p.name === 'input')!.scale![0]!;
    expect(input(record) / input(plain)).toBeCloseTo(0.9, 5);
    expect(record.calibration?.observer).toBe('share');
  });
  it('takes the range of the observer for weights too, where it needs no values', async () => {
    const half = await run(await set('quantize.weights.observer=share', 'quantize.weights.method=round'), 'weights');
    const whole = await run(await set('quantize.weights.method=round'), 'whole');
    // quantized
    const weights = (r: RunRecord): number[] => r.points.filter((p) => p.role === 'weight').map((p) => p.scale![0]!);
    const [a, b] = [weights(half), weights(whole)];
    expect(a.length).toBeGreaterThan(5);
    a.forEach((x, i) => expect(x / b[i]!).toBeCloseTo(0.5, 5)); // of one length
  });
  it('writes the codes of the weight method', () => {
    const { graph } = loadModel(path.join(root, 'own', 'model.onnx'));
    const codes = [...graph.initializers].filter((v) => v.data?.dtype === 'int8' && v.data.dims.length > 1);
    expect(codes.length).toBeGreaterThan(5);
    expect(codes.flatMap((v) => [...v.data!.ints()]).filter((c) => Number(c) % 2 !== 0)).toEqual([]); // filtered above
  });
  it('runs the pass, and judges by the gate', () => {
    expect(record.passes.filter((p) => p.pass === 'rename-graph').map((p) => p.changes)).toEqual([1]);
    expect(loadModel(path.join(root, 'own', 'model.onnx')).graph.name).toBe('mine');
    expect(record.gate).toMatchObject({ verdict: 'pass', rules: [{ name: 'maxNodes', verdict: 'pass', limit: 1000 }] });
  });
  it('takes channels out by an importance, with options of its own', async () => {
    const step = 'compress=[{ name: prune, left: { macs: 0.8 }, importance: { name: first, twist: 1 } }]';
    const { compression } = await run(await set(step), 'pruned');
    expect(compression!.states.map((s) => s.name)).toEqual(['as given', 'prune']);
    expect(compression!.states[1]!.macs / compression!.states[0]!.macs).toBeLessThanOrEqual(0.8);
    await expect(set(step.replace('twist', 'twits'))).rejects.toMatchObject({ code: 'RECIPE_UNKNOWN_KEY' });
  });
  it('quantizes as the target wants', () => {
    expect(record.points.find((p) => p.name === 'input')?.dtype).toBe('int8');
  });
  it('tells in the record where all this comes from', () => {
    expect(record.recipe.plugins).toEqual([
      {
        file: 'mine.mjs',
        sha256: sha256File(mine),
        adds: [
          'observer share',
          'pass rename-graph',
          'pass double-negation',
          'weight method even-codes',
          'gate maxNodes',
          'target signed-npu',
          'importance first',
        ],
      },
    ]);
    expect(JSON.stringify(record)).not.toContain(root);
  });
  it('explains them', async () => {
    const stages = explainRecipe(await set());
    expect(stages.find((s) => s.name === 'calibrate')?.does).toContain('A share of the range');
    expect(stages.find((s) => s.name === 'weights')?.does).toContain('Only even codes.');
  });
  it('is judged later by `quantize gate`, which asks for the module', async () => {
    const out = path.join(root, 'own');
    const without = await runCli('gate', out);
    expect([without.code, without.err]).toEqual([2, expect.stringContaining('--plugin mine.mjs')]);
    const judged = await runCli('gate', out, '--plugin', mine, '--json');
    expect([judged.code, JSON.parse(judged.out)]).toMatchObject([
      0,
      { rules: [{ name: 'maxNodes', verdict: 'pass' }] },
    ]);
  });
  it('fails the gate where it says so', () => {
    const gate = judgeRun(record, { maxNodes: { max: 3 }, confidence: 0.95 } as never, undefined, [
      {
        // a gate that types do not know
        name: 'maxNodes',
        doc: '',
        options: gateSpec,
        judge: () => ({ name: 'maxNodes', verdict: 'fail', text: 'too many' }),
      },
    ]);
    expect(gate.verdict).toBe('fail');
  });
  it('refuses formats and opsets that the target does not run', async () => {
    expect((await errorOf(run(await set('quantize.format=dynamic'), 'x'))).code).toBe('RECIPE_INVALID');
    const newer = await errorOf(run(await set('quantize.weights.dtype=int4', 'quantize.weights.method=round'), 'x'));
    expect([newer.code, newer.message]).toEqual(['RECIPE_INVALID', expect.stringContaining('opset 21')]);
  });
});

describe('recipes with plug-ins', () => {
  it('name them from another folder, and resolve to YAML that gives the same', async () => {
    const moved = await derive(await set(), {}, { baseDir: path.join(root, 'a', 'b') });
    expect(moved.recipe.plugins).toEqual(['../../mine.mjs']);
    expect(moved.recipe.quantize.activations.observer).toEqual({ name: 'share', of: 0.9 });
    const again = await resolveRecipe(parse((await set()).yaml) as never, { baseDir: root }); // the schema checks it
    expect(again.yaml.split('\n').slice(1)).toEqual((await set()).yaml.split('\n').slice(1));
    expect(again.recipe.gate).toEqual((await set()).recipe.gate);
  });
  it('sweep over their names, and take settings of their options', async () => {
    const swept = await loadRecipes(recipeFile, {
      set: ['quantize.activations.observer=[minmax, share]', 'quantize.weights.method=[round, even-codes]'],
    });
    expect(swept.map((r) => r.sweep?.label)).toEqual([
      'observer=minmax method=round',
      'observer=minmax method=even-codes',
      'observer=share method=round',
      'observer=share method=even-codes',
    ]);
    expect((await set('quantize.activations.observer.of=0.25')).recipe.quantize.activations.observer).toEqual({
      name: 'share',
      of: 0.25,
    });
    expect((await set('quantize.activations.observer=share')).recipe.quantize.activations.observer).toEqual({
      name: 'share',
      of: 0.5,
    });
  });
  it('do not run together with others, and do not share statistics, once a plug-in changed', async () => {
    const before = await set();
    const changed = {
      ...before,
      plugins: { ...before.plugins, files: [{ ...before.plugins.files[0]!, sha256: 'other' }] },
    }; // there is one
    expect(frontOf(changed)).not.toBe(frontOf(before));
    const out = await run(before, 'again');
    expect(out.calibration?.cache).toBe('hit');
    expect((await run(changed, 'again')).calibration?.cache).toBe('miss');
  });
  it.each<[string, string[], string, RegExp]>([
    [
      'an option that does not exist',
      ['quantize.activations.observer={ name: share, off: 1 }'],
      'RECIPE_UNKNOWN_KEY',
      /"off".*Did you mean "of"/,
    ],
    [
      'an option out of range',
      ['quantize.activations.observer={ name: share, of: 2 }'],
      'RECIPE_INVALID',
      /of.*2.*at most 1/,
    ],
    [
      'what its refinement refuses',
      ['quantize.activations.observer={ name: share, of: 0.75 }'],
      'RECIPE_INVALID',
      /not three quarters/,
    ],
    [
      'an observer that is misspelt',
      ['quantize.activations.observer=shore'],
      'RECIPE_UNKNOWN_NAME',
      /Did you mean "share"/,
    ],
    ['a pass that is misspelt', ['optimize.add=[rename-grap]'], 'RECIPE_UNKNOWN_NAME', /Did you mean "rename-graph"/],
    ['a gate without its limit', ['gate.maxNodes={}'], 'RECIPE_INVALID', /max/],
    ['a module that is not there', ['plugins=[./nowhere.mjs]'], 'RECIPE_PLUGIN', /nowhere\.mjs/],
    ['passes where none run', ['optimize.enabled=false'], 'RECIPE_INVALID', /enabled: false runs none/],
    ['names of a plug-in that is not listed', ['plugins=[]'], 'RECIPE_INVALID', /plugins/],
  ])('refuse %s', async (_what, list, code, message) => {
    const error = await errorOf(set(...list));
    expect([error, ...error.more].map((e) => e.code)).toContain(code);
    expect([error, ...error.more].map((e) => e.message).join('\n')).toMatch(message);
  });
  it('point at the line of a plug-in that does not load', async () => {
    writeFileSync(path.join(root, 'bad.yaml'), RECIPE.replace('mine.mjs', 'broken.mjs'));
    writeFileSync(path.join(root, 'broken.mjs'), 'export const observers = [;');
    expect((await errorOf(loadRecipe(path.join(root, 'bad.yaml')))).where).toMatchObject({ line: 4, column: 12 });
  });
  it('are accepted by the published schema', () => {
    const { quantize, target, gate } = publishedSchema().properties!; // a mapping
    const open = (s: unknown): boolean => JSON.stringify(s).includes('a module in `plugins` adds');
    const activations = quantize!.properties!.activations!.properties!; // as the schema has them
    expect([target, gate, activations.observer, quantize!.properties!.weights!.properties!.method].map(open)).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(open(publishedSchema().properties!.compress)).toBe(true);
    // target of data, too
    expect([activations.dtype, publishedSchema().properties!.evaluation].map(open)).toEqual([false, false]);
  });
});

describe('modules', () => {
  const observer = '{ name: "own", doc: "Mine.", statistic: "range", chooseRange: (s) => s }';
  it.each<[string, string, RegExp]>([
    ['without any list', 'export const observer = [];', /exports observer, but none of.*Did you mean "observers"/],
    ['whose list is none', `export const observers = ${observer};`, /an object as observers, not an array/],
    [
      'with a taken name',
      `export const observers = [${observer.replace('own', 'kl')}];`,
      /observer "kl".*name that is taken/,
    ],
    ['with a name twice', `export const observers = [${observer}, ${observer}];`, /"own".*twice/],
    [
      'with a name that no recipe can hold',
      `export const observers = [${observer.replace('own', 'a b')}];`,
      /has the name "a b"/,
    ],
    ['without a doc', `export const observers = [${observer.replace('Mine.', '')}];`, /has no doc/],
    [
      'without a function',
      'export const observers = [{ name: "own", doc: "x", statistic: "range" }];',
      /has no function chooseRange/,
    ],
    [
      'with an unknown statistic',
      `export const observers = [${observer.replace('"range"', '"ranges"')}];`,
      /unknown statistic "ranges"/,
    ],
    [
      'with half a statistic',
      `export const observers = [${observer.replace('"range"', '{ name: "mine", ordered: false }')}];`,
      /without needsValues, settings, empty/,
    ],
    [
      'with a statistic whose name is taken',
      `export const observers = [${observer.replace('"range"', '{ name: "range" }')}];`,
      /called "range", a name that is taken/,
    ],
    [
      'with options that are no schema',
      `export const observers = [${observer.replace('doc:', 'options: {}, doc:')}];`,
      /has an object as options/,
    ],
    [
      'with a pass of no numerics',
      'export const passes = [{ name: "p", doc: "x", run() {} }];',
      /has nothing as numerics/,
    ],
    [
      'with a rule that cannot be read',
      'export const passes = [{ name: "p", doc: "x", numerics: "exact", pattern: "(((", rewrite() {} }];',
      /pattern that cannot be read/,
    ],
    [
      'with a method of no inputs',
      'export const weightMethods = [{ name: "m", doc: "x", inputs: "some", solve() {} }];',
      /"some" as inputs/,
    ],
    [
      'with a gate called confidence',
      'export const gates = [{ name: "confidence", doc: "x", judge() {} }];',
      /name that is taken/,
    ],
    ['with half a target', 'export const targets = [{ name: "t", doc: "x" }];', /is not a target: source/],
    [
      'with a target of unknown parts',
      'export const targets = [{ name: "t", doc: "x", extends: "onnxruntime-cpu", formats: ["gguf"] }];',
      /formats\.0/,
    ],
    [
      'with a target of no parent',
      'export const targets = [{ name: "t", doc: "x", extends: "cpu" }];',
      /extends "cpu", which is no target/,
    ],
    ['that throw', 'throw new Error("no licence");', /failed to load: no licence/],
  ])('%s are refused', async (what, text, message) => {
    const file = path.join(root, `${what.replaceAll(' ', '-')}.mjs`);
    writeFileSync(file, text);
    const error = await errorOf(loadPlugins([file]));
    expect(error.code).toBe('RECIPE_PLUGIN');
    expect(error.message).toMatch(message);
    expect(error.message).toContain(file);
  });
  it('may hold the lists in the default export', async () => {
    const file = path.join(root, 'default.mjs');
    writeFileSync(file, `export default { observers: [${observer}] };`);
    expect((await loadPlugins([file])).observers.at(-1)?.name).toBe('own');
  });
  it.each<[string, string, string, RegExp]>([
    [
      'an observer that throws',
      'observers',
      '{ name: "o", doc: "x", statistic: "range", chooseRange() { throw new Error("oh"); } }',
      /observer "o".*threw in chooseRange\(\): oh/,
    ],
    [
      'a range of too few channels',
      'observers',
      '{ name: "o", doc: "x", statistic: "range", chooseRange: () => ({ min: [], max: [] }) }',
      /gave no range/,
    ],
    [
      'NaN',
      'observers',
      '{ name: "o", doc: "x", statistic: "range", chooseRange: () => ({ min: [NaN], max: [1] }) }',
      /gave no range/,
    ],
    [
      'codes beyond the type',
      'weightMethods',
      '{ name: "o", doc: "x", inputs: "none", solve: ({ target }) => ({ codes: target.map(() => 999) }) }',
      /gave no codes/,
    ],
    [
      'a rule that asks for what it never named',
      'passes',
      '{ name: "o", doc: "x", numerics: "exact", pattern: "y = Conv(x, w, b?)", rewrite: (m) => m.value("z") }',
      /threw in run\(\): pattern name 'z' is not bound/,
    ],
    [
      'a pass that counts nothing',
      'passes',
      '{ name: "o", doc: "x", numerics: "exact", run() {} }',
      /gave nothing as changes/,
    ],
    [
      'a pass that breaks the graph',
      'passes',
      '{ name: "o", doc: "x", numerics: "exact", run({ model }) { for (const n of model.graph.nodes) ' +
        'n.outputs[0].name = ""; return { changes: 1 }; } }',
      /left a graph that is not valid/,
    ],
    [
      'a gate without a verdict',
      'gates',
      '{ name: "o", doc: "x", judge: () => ({ verdict: "maybe", text: "x" }) }',
      /gave no verdict/,
    ],
  ])('are told of %s', async (what, kind, text, message) => {
    const folder = path.join(root, what.replaceAll(' ', '-'));
    mkdirSync(folder);
    writeFileSync(path.join(folder, 'mine.mjs'), `export const ${kind} = [${text}];`);
    const use = {
      observers: ['quantize.activations.observer=o'],
      weightMethods: ['quantize.weights.method=o'],
      passes: ['optimize.add=[o]'],
      gates: ['gate={ o: {} }'],
    }[kind]!; // of the table
    const plain = [
      'target=onnxruntime-cpu',
      'optimize.add=[]',
      'quantize.weights.method=round',
      'quantize.activations.observer=minmax',
      'gate={ sizeRatio: { max: 1 } }',
    ];
    const error = await errorOf(
      run(await set(`plugins=[${JSON.stringify(path.join(folder, 'mine.mjs'))}]`, ...plain, ...use), 'y'),
    );
    expect(error.code).toBe('RECIPE_PLUGIN');
    expect(error.message).toMatch(message);
  });
});

it('optimizeFile runs the passes of plug-ins after those of the level', async () => {
  const out = path.join(root, 'optimized.onnx');
  const { traces } = await optimizeFile(path.join(data, 'demo.onnx'), out, {
    level: 'basic',
    plugins: await loadPlugins([mine]),
  });
  expect(traces.find((t) => t.pass === 'rename-graph')?.changes).toBe(1);
  expect(readFileSync(out).includes('mine')).toBe(true);
});
