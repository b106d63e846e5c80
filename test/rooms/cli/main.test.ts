import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { version } from '../../../src/base/version.js';
import { runCli as run } from './run-cli.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-cli-'));
const kl = path.join(root, 'recipes/int8-kl.yaml');
/** Small enough for a test of the command line. */
const quick = [
  '--set',
  'calibration.samples=20',
  '--set',
  'evaluation.samples=40',
  '--set',
  'evaluation.latency=false',
  '--set',
  'evaluation.sensitivity={ samples: 2 }',
  '--set',
  'calibration.cache=false',
  '--set',
  'gate={ sizeRatio: { max: 0.4 } }',
]; // 40 images prove no accuracy

afterEach(() => vi.restoreAllMocks());

function recipe(text: string, name = 'r.yaml'): string {
  const file = path.join(temp, name);
  writeFileSync(file, text);
  return file;
}

describe('the command line itself', () => {
  it('prints help and the version on stdout', async () => {
    const help = await run('--help');
    expect(help).toMatchObject({ code: 0, err: '' });
    for (const word of [
      '--recipe',
      '--model',
      '--calibration-data',
      'inspect',
      'doctor',
      'init',
      'Exit codes',
      'Examples',
    ])
      expect(help.out).toContain(word);
    expect(await run('--version')).toEqual({ code: 0, out: `quantbench ${version}\n`, err: '' });
    expect((await run('inspect', '--help')).out).toContain('--point');
  });
  it.each<[argv: string[], words: RegExp]>([
    [[], /USAGE {2}no recipe/],
    [['--recpie', 'x'], /Did you mean --recipe/],
    [['inspekt'], /"inspekt" is not a command\. Did you mean "inspect"/],
    [['some.yaml'], /quantize --recipe some\.yaml/],
    [['inspect'], /missing required argument/],
    [['inspect', kl, '--point', 'x'], /--point needs a run/],
    [['inspect', temp], /no run\.json/],
    [['--recipe', kl, '--set', 'nonsense'], /not a setting/],
  ])('refuses %j with exit code 2', async (argv, words) => {
    const r = await run(...argv);
    expect(r.code).toBe(2);
    expect(r.err).toMatch(words);
    expect(r.out).toBe('');
  });
  it('leaves no listeners behind', async () => {
    const count = (): number =>
      process.listenerCount('SIGINT') +
      process.listenerCount('uncaughtException') +
      process.stdout.listenerCount('error');
    const before = count();
    await run('--version');
    expect(count()).toBe(before);
  });
});

describe('mistakes are told with place, code and what would be right', () => {
  it('in a recipe: exit code 2', async () => {
    const file = recipe(
      'version: 1\nmodel: m.onnx\ncalibration: { data: { images: d } }\nquantize:\n  activations:\n    observer: kld\n',
    );
    const r = await run('--recipe', file);
    expect(r.code).toBe(2);
    expect(r.err).toContain(
      `${file}:6:15 RECIPE_UNKNOWN_NAME  "kld" is not an observer. Did you mean "kl"?\n` +
        `     5 |   activations:\n     6 |     observer: kld\n       |               ^^^\n   observers: `,
    );
  });
  it('all at once', async () => {
    const r = await run(
      '--recipe',
      recipe('version: 1\nmodel: m\ncalibration: { data: { images: d }, samples: 0 }\nquantise: {}\n'),
    );
    expect(r.err).toContain('RECIPE_UNKNOWN_KEY');
    expect(r.err).toContain('RECIPE_INVALID');
  });
  it('in a model: exit code 3, as JSON too', async () => {
    const r = await run(
      '--recipe',
      kl,
      '--model',
      path.join(temp, 'none.onnx'),
      '--json',
      '--out',
      path.join(temp, 'never'),
    );
    expect(r.code).toBe(3);
    expect(JSON.parse(r.out)).toMatchObject({ outcome: 'failed', error: { code: 'MODEL_MISSING' } });
    expect(existsSync(path.join(temp, 'never'))).toBe(false);
  });
  it('with control characters escaped', async () => {
    const r = await run('--recipe', `${temp}/\x1b[31mred\x07.yaml`);
    expect(r.code).toBe(2);
    expect(r.err).not.toMatch(/[\x1b\x07]/);
    expect(r.err).toContain('\\x1b[31mred\\x07');
  });
  it('stack traces only with --debug', async () => {
    expect((await run('--recipe', 'none.yaml')).err).not.toMatch(/\n\s+at /);
    expect((await run('--recipe', 'none.yaml', '--debug')).err).toMatch(/\n\s+at /);
  });
});

describe('a run', () => {
  it('writes model, record and reports; paths on stdout, words on stderr', async () => {
    const out = path.join(temp, 'full');
    const r = await run('--recipe', kl, ...quick, '--out', out);
    expect(r.err).toMatch(/top1 .*%/);
    expect(r.code).toBe(0);
    const files = r.out.trim().split('\n');
    expect(files.map((f) => path.basename(f)).sort()).toEqual(['model.onnx', 'report.html', 'report.md', 'run.json']);
    for (const f of files) expect(existsSync(f), f).toBe(true);
    expect(r.err).toMatch(/calibrate +20 samples/);

    const point = await run('inspect', out, '--point', 'input');
    expect(point.out).toMatch(/zero point +\d+/);
    expect(point.out).toMatch(/observer +kl/);
    expect((await run('inspect', out, '--point', 'inptu')).err).toContain('did you mean "input"?');
    expect(
      JSON.parse((await run('inspect', path.join(out, 'run.json'), '--point', 'input', '--json')).out),
    ).toMatchObject({ name: 'input', kind: 'observed' });
    expect((await run('inspect', out)).out).toContain('integer MACs');

    const record = JSON.parse(readFileSync(path.join(out, 'run.json'), 'utf8')) as { recipe: { yaml: string } };
    expect(record.recipe.yaml).not.toContain(root);
  });
  it('prints only paths with --quiet, and run.json with --json', async () => {
    const out = path.join(temp, 'quiet');
    const little = [...quick, '--set', 'evaluation.sensitivity=false', '--set', 'evaluation.layers=false'];
    const quiet = await run('--recipe', kl, ...little, '--out', out, '--quiet');
    expect(quiet).toMatchObject({ code: 0, err: '' });
    expect(quiet.out.trim().split('\n')).toHaveLength(4);
    const json = await run('--recipe', kl, ...little, '--out', out, '--json', '--quiet');
    expect(JSON.parse(json.out)).toMatchObject({ schema: 1, outcome: 'ok' });
  });
  it('plans without writing with --dry-run', async () => {
    const out = path.join(temp, 'dry');
    const r = await run('run', '--recipe', kl, '--out', out, '--dry-run');
    expect(r.code).toBe(0);
    expect(r.out).toMatch(/integer +Conv/);
    expect(r.out).toContain('version: 1');
    expect(existsSync(out)).toBe(false);
  });
  it('stops on SIGINT with 130 and leaves nothing half-written', async () => {
    const out = path.join(temp, 'stopped');
    const running = run('--recipe', kl, '--set', 'calibration.cache=false', '--out', out);
    setTimeout(() => process.emit('SIGINT', 'SIGINT'), 300);
    const r = await running;
    expect(r.code).toBe(130);
    expect(r.err).not.toContain('INTERNAL');
    expect(existsSync(out) ? readdirSync(out) : []).toEqual([]);
  });
});

describe('inspect MODEL', () => {
  const demo = path.join(root, 'calibration-data/demo.onnx');
  it('shows counts, types and axes, and the graph where it is asked for', async () => {
    const { out } = await run('inspect', demo);
    for (const words of [
      /input +input: float32\[batch, 3, 32, 32\]/,
      /dynamic axes +input\[0\] \(batch\)/,
      /Conv 14/,
      /float32 +80 tensors/,
      /nodes +47 \(8 Constants not counted\)/,
    ])
      expect(out).toMatch(words);
    expect(out).not.toContain('opset_import');
    expect((await run('inspect', demo, '--graph')).out).toMatch(/^file [^]*opset_import: \["" : 17\]/);
    expect(JSON.parse((await run('inspect', demo, '--json')).out)).toMatchObject({
      opsets: { 'ai.onnx': 17 },
      ops: { Conv: 14 },
      nodes: 47,
    });
    expect((await run('inspect', demo, '--text')).out.startsWith('<\n')).toBe(true);
  });
  it.each(['none.onnx', 'recipes/int8-kl.yaml'])('refuses %s with exit code 3', async (file) => {
    const r = await run('inspect', path.join(root, file));
    expect(r.code).toBe(3);
    expect(r.err).toContain('MODEL_');
  });
  it('refuses a record that is none', async () => {
    expect((await run('inspect', recipe('{"schema": 9}', 'x.json'))).err).toContain('DATA_FORMAT');
    expect((await run('inspect', recipe('{', 'y.json'))).err).toContain('DATA_FORMAT');
  });
});

describe('doctor and init', () => {
  it('doctor finds this machine able', async () => {
    const r = await run('doctor', '--json');
    expect(r.code).toBe(0);
    expect(JSON.parse(r.out)).toMatchObject({ ready: true, environment: { node: process.versions.node } });
    expect((await run('doctor')).out).toMatch(/int8 convolution +runs and is right/);
  });
  it('init writes a recipe that dry-runs once, and never overwrites', async () => {
    const file = path.join(temp, 'made.yaml');
    const argv = [
      'init',
      path.join(root, 'calibration-data/demo.onnx'),
      '--data',
      path.join(root, 'calibration-data/glyphs/calibration.tar'),
      '--out',
      file,
    ];
    expect((await run(...argv)).code).toBe(0);
    const text = readFileSync(file, 'utf8');
    expect(text).toContain('CHECK');
    expect(text).toMatch(/^\s+# mean:/m);
    expect((await run('--recipe', file, '--dry-run')).code).toBe(0);
    const again = await run(...argv);
    expect(again.code).toBe(3);
    expect(readFileSync(file, 'utf8')).toBe(text);
  });
  it('init without data says what is missing', async () => {
    const { out } = await run('init', path.join(root, 'calibration-data/demo.onnx'));
    expect(out).toContain('# data:');
    expect(out).toContain('# input   input float32[batch, 3, 32, 32]');
  });
});

describe('optimize', () => {
  const demo = path.join(root, 'calibration-data/demo.onnx');
  it('writes a smaller model, and says pass by pass how', async () => {
    const out = path.join(temp, 'optimized.onnx');
    const r = await run('optimize', demo, '-o', out);
    expect(r).toMatchObject({ code: 0, err: '' });
    expect(r.out).toMatch(/^pass +changes +nodes before +after +why\n/);
    expect(r.out).toMatch(/\d+ → \d+ nodes \(Constants not counted\); outputs in onnxruntime equal on 2 random inputs/);
    expect(existsSync(out)).toBe(true);
    const again = await run('optimize', out, '-o', path.join(temp, 'again.onnx'));
    expect(again.out).toMatch(/^nothing to change\n/);
  });
  it('prints JSON, and explains', async () => {
    const out = path.join(temp, 'explained.onnx');
    type Result = { nodes: { before: number; after: number }; passes: { pass: string }[] };
    const optimized = async (...flags: string[]): Promise<Result> =>
      JSON.parse((await run('optimize', demo, '-o', out, '--json', ...flags)).out) as Result;
    const [all, json] = [await optimized(), await optimized('--skip', 'fold-batch-norm-conv')];
    expect(all.nodes.after).toBeLessThan(json.nodes.after);
    expect(json.passes.map((p) => p.pass)).not.toContain('fold-batch-norm-conv');
    const { out: explained } = await run('optimize', demo, '-o', out, '--explain');
    expect(explained).toMatch(/^[\w-]+: \d+ changes?, \d+ → \d+ nodes\. .+\n {2}− \w+ /m);
    expect(explained).toMatch(
      /\nNearly matched, in the graph as it is now:\nfold-bias-add: .+\n {2}left alone: (\S+, ){2}\S+ and 1 more\n {4}because '\S+' is not a constant, and the others alike\n/,
    );
  });
  it.each<[flags: string[], words: RegExp]>([
    [['--level', 'max'], /--level takes basic, default, aggressive, not "max"/],
    [['--passes', 'fold-if,fold-iff'], /"fold-iff" is not a pass\. Did you mean "fold-if"/],
  ])('refuses %j', async (flags, words) => {
    const out = path.join(temp, 'refused.onnx');
    const r = await run('optimize', demo, '-o', out, ...flags);
    expect(r.code).toBe(2);
    expect(r.err).toMatch(words);
    expect(existsSync(out)).toBe(false);
  });
});
