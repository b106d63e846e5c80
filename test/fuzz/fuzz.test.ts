/**
 * The inputs that earlier runs of the fuzz harness found, and the hostile cases beside the project. `.ci/run` has a short
 * run, `npm run fuzz -- --seconds 600` is the long form; what it finds goes to test/fixtures/fuzz as hex with a line
 * that says what.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { runCli } from '../rooms/cli/run-cli.js';
import { inputMaker } from './inputs.js';
import { runModel } from './targets.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const corpus = path.join(root, 'test/fixtures/fuzz');
const hostile = path.resolve(root, '../shared/cases/hostile');
const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-hostile-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));

it('makes the same input of a seed and a number again', async () => {
  for (const index of [0, 1, 2, 3, 4, 5, 6, 7]) {
    const [a, b] = [await inputMaker(root)(9, index), await inputMaker(root)(9, index)];
    expect(a.files).toEqual(b.files);
  }
});

describe('inputs that were found', () => {
  it.each(readdirSync(corpus).filter((n) => n.endsWith('.hex')))('%s', async (name) => {
    const hex = readFileSync(path.join(corpus, name), 'utf8').replace(/^#.*$/gm, '').replace(/\s/g, '');
    await runModel(Uint8Array.from(Buffer.from(hex, 'hex')));
  });
});

/** What a command may answer to the cases, by file; any other may be done (0) or refused (3). */
const EXPECTED: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  'b61958.onnx': { cost: /GRAPH_INVALID/, optimize: /GRAPH_INVALID/ },
  'b29672.onnx': { cost: /GRAPH_INVALID/ },
  'laughs20.onnx': { cost: /MODEL_LIMIT/ },
  'laughs40.onnx': { cost: /MODEL_LIMIT/, optimize: /MODEL_LIMIT/, plan: /MODEL_LIMIT/ },
  'f3.onnx': { cost: /GRAPH_INVALID/ },
  'f9.onnx': { cost: /GRAPH_INVALID/ },
  'f14.onnx': { cost: /GRAPH_INVALID/ },
  'f0.onnx': { inspect: /GRAPH_INVALID/ },
  'f12.onnx': { optimize: /MODEL_LIMIT/ },
  's23993.onnx': { optimize: /MODEL_LIMIT/ },
  'f1.onnx': { cost: /GRAPH_INVALID/ },
};

describe.skipIf(!existsSync(hostile))('the hostile cases (skipped: ../shared is absent)', () => {
  const files = existsSync(hostile)
    ? readdirSync(hostile).flatMap((c) =>
        readdirSync(path.join(hostile, c))
          .filter((f) => f.endsWith('.onnx'))
          .map((f) => path.join(hostile, c, f)),
      )
    : [];
  it.each(files)('%s', async (file) => {
    const recipe = path.join(temp, 'r.yaml');
    writeFileSync(recipe, `version: 1\nmodel: ${file}\nquantize: { format: dynamic }\n`);
    const out = path.join(temp, `${path.basename(file)}.out`);
    const commands = {
      inspect: ['inspect', file],
      cost: ['cost', file],
      optimize: ['optimize', file, '--out', out],
      plan: ['--recipe', recipe, '--dry-run'],
    };
    for (const [name, argv] of Object.entries(commands)) {
      const start = performance.now();
      const r = await runCli(...argv);
      expect([
        name,
        r.code === 0 || r.code === 3,
        /INTERNAL|bug in quantbench|NaN/.test(r.err + (name === 'cost' ? r.out : '')),
      ]).toEqual([name, true, false]);
      expect(r.err).toMatch(EXPECTED[path.basename(file)]?.[name] ?? /^/);
      expect(performance.now() - start).toBeLessThan(10_000);
    }
    // What optimize writes can be read again.
    if (existsSync(out)) expect((await runCli('inspect', out)).code).toBe(0);
    await runModel(readFileSync(file));
  });
  it('globs and expressions on long names answer at once', async () => {
    for (const [model, filter] of [
      ['globbait', '*layer*layer*norm*'],
      ['redos', 're:^((a)+)+$'],
      ['redos', '*a*a*a*a*a*a*a*a*a*a*c'],
    ]) {
      const recipe = path.join(temp, 'glob.yaml');
      writeFileSync(
        recipe,
        `version: 1\nmodel: ${hostile}/glob-redos/${model}.onnx\n` +
          `quantize: { format: dynamic, exclude: [ ${JSON.stringify(filter)} ] }\n`,
      );
      const start = performance.now();
      const r = await runCli('--recipe', recipe, '--dry-run');
      expect([r.code, /RECIPE_(UNKNOWN_NAME|INVALID)/.test(r.err), performance.now() - start < 5000]).toEqual([
        2,
        true,
        true,
      ]);
    }
  });
  it('an archive whose pax record goes backwards ends', async () => {
    const recipe = path.join(temp, 'tar.yaml');
    writeFileSync(
      recipe,
      `version: 1\nmodel: ${root}/calibration-data/demo.onnx\n` +
        `calibration: { data: { webdataset: ${hostile}/tar-negative-pax-size/loopdir.tar } }\n`,
    );
    const r = await runCli('--recipe', recipe, '--out', path.join(temp, 'tar'), '-q');
    expect([r.code, r.err]).toEqual([3, expect.stringContaining('DATA_FORMAT')]);
  });
  it('20,000 keys given twice are refused at once', async () => {
    const recipe = path.join(temp, 'twice.yaml');
    writeFileSync(recipe, execFileSync('gzip', ['-dc', path.join(hostile, 'recipe-quadratic/dupkeys20k.yaml.gz')]));
    const start = performance.now();
    expect((await runCli('--recipe', recipe)).code).toBe(2);
    expect(performance.now() - start).toBeLessThan(2000);
  });
  it('names of 20,000 characters are not compared letter by letter', async () => {
    const file = path.join(temp, 'long.onnx');
    const { parseModel } = await import('../../src/ir/text/parse.js');
    const { saveModel } = await import('../../src/onnx/files.js');
    const model = parseModel(
      `<ir_version: 8, opset_import: ["" : 17]> g (float x) => (float y) { ` +
        `${Array.from({ length: 300 }, (_, i) => `a${i}${'x'.repeat(20_000)} = Relu(x)`).join('\n')}\n` +
        ' y = Relu(x) }',
    );
    const last = [...model.graph.nodes].at(-1)!; // one node was written last
    const { Value } = await import('../../src/ir/graph.js');
    last.setInput(0, new Value(`q${'y'.repeat(20_000)}`));
    saveModel(model, file);
    const start = performance.now();
    const r = await runCli('inspect', file);
    expect([r.code, r.err.includes('GRAPH_INVALID'), r.err.length < 5000, performance.now() - start < 5000]).toEqual([
      3,
      true,
      true,
      true,
    ]);
  });
});
