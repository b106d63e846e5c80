/** Outputs are never inputs; what cannot be printed or written is told; nothing that is printed drives the terminal. */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { saveModel } from '../../../src/onnx/files.js';
import { runCli } from './run-cli.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const demo = path.join(root, 'calibration-data/demo.onnx');
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'quantbench-safety-'));
});
const at = (...parts: string[]): string => path.join(dir, ...parts);

const RECIPE = 'version: 1\nmodel: model.onnx\nquantize: { format: dynamic }\n';
/** A folder with the demo as model.onnx and a recipe for it. */
function job(folder = dir): string {
  mkdirSync(folder, { recursive: true });
  copyFileSync(demo, path.join(folder, 'model.onnx'));
  const recipe = path.join(folder, 'r.yaml');
  writeFileSync(recipe, RECIPE);
  return recipe;
}
async function refused(file: string, ...argv: string[]): Promise<void> {
  const before = readFileSync(file);
  const r = await runCli(...argv);
  expect([r.code, r.err.includes('OUTPUT_WRITE'), r.err]).toEqual([
    3,
    true,
    expect.stringContaining('would overwrite'),
  ]);
  expect(readFileSync(file).equals(before)).toBe(true);
}

describe('an output that is an input is refused, and the input is as it was', () => {
  it('by a run into the folder of its model', async () => {
    const recipe = job();
    await refused(at('model.onnx'), '--recipe', recipe, '--out', dir, '-q');
    expect(existsSync(at('run.json'))).toBe(false);
  });
  it('by a run whose --model lies where model.onnx goes', async () => {
    job();
    job(at('other'));
    await refused(
      at('other/model.onnx'),
      '--recipe',
      at('r.yaml'),
      '--model',
      at('other/model.onnx'),
      '--out',
      at('other'),
      '-q',
    );
  });
  it.each([
    ['a hard link', linkSync],
    ['a symbolic link', symlinkSync],
  ])('by a run where model.onnx of the output is %s to the model', async (_what, link) => {
    const recipe = job();
    mkdirSync(at('out'));
    link(at('model.onnx'), at('out/model.onnx'));
    await refused(at('model.onnx'), '--recipe', recipe, '--out', at('out'), '-q');
  });
  it('by a run whose output folder is a link to that of the model', async () => {
    const recipe = job();
    symlinkSync(dir, at('out'));
    await refused(at('model.onnx'), '--recipe', recipe, '--out', at('out'), '-q');
  });
  it('by a run where a data file of the model has the name of an output', async () => {
    const recipe = job(at('m'));
    const model = parseModel(
      `<ir_version: 8, opset_import: ["" : 17]> g (float[N,4] x) => (float[N,2] y) <float[4,2] w = ` +
        '{1,2,3,4,5,6,7,8}> { y = MatMul(x, w) }',
    );
    const { files } = saveModel(model, at('m/model.onnx'), { externalData: 'always', externalThresholdBytes: 1 });
    mkdirSync(at('out'));
    symlinkSync(files[1]!.path, at('out/report.html')); // two files were written
    await refused(files[1]!.path, '--recipe', recipe, '--out', at('out'), '-q');
  });
  it('by a run whose recipe or data file has the name of an output', async () => {
    job();
    copyFileSync(at('r.yaml'), at('run.json'));
    writeFileSync(at('float.onnx'), readFileSync(demo));
    await refused(at('run.json'), '--recipe', at('run.json'), '--model', at('float.onnx'), '--out', dir, '-q');
    writeFileSync(at('report.md'), 'text\tlabel\n');
    writeFileSync(
      at('t.yaml'),
      'version: 1\nmodel: float.onnx\ncalibration: { data: { text: report.md, tokenizer: t.json, fields: [text] } }\n',
    );
    await refused(at('report.md'), '--recipe', at('t.yaml'), '--out', dir, '-q');
  });
  it('by auto and compare', async () => {
    job();
    copyFileSync(at('r.yaml'), at('recipe.yaml'));
    writeFileSync(at('float.onnx'), readFileSync(demo));
    await refused(
      at('recipe.yaml'),
      'auto',
      at('float.onnx'),
      '--recipe',
      at('recipe.yaml'),
      '--max-accuracy-drop',
      '1%',
      '--set',
      'evaluation.data={ images: x }',
      '--out',
      dir,
      '-q',
    );
    writeFileSync(at('compare.md'), RECIPE);
    linkSync(at('compare.md'), at('c.yaml'));
    await refused(at('c.yaml'), 'compare', at('c.yaml'), at('r.yaml'), '--out', dir, '-q');
  });
  it('by optimize, in place, through a link, and over a data file', async () => {
    job();
    await refused(at('model.onnx'), 'optimize', at('model.onnx'), '--out', at('model.onnx'));
    symlinkSync(at('model.onnx'), at('link.onnx'));
    await refused(at('model.onnx'), 'optimize', at('model.onnx'), '--out', at('link.onnx'));
    await refused(at('model.onnx'), 'optimize', at('link.onnx'), '--out', path.join(dir, '.', 'x', '..', 'model.onnx'));
    await refused(at('model.onnx'), 'cost', at('model.onnx'), '--device', '1e12,2e10', '--picture', at('model.onnx'));
  });
  it('but a second run into the same folder replaces the first', async () => {
    const recipe = job();
    for (let i = 0; i < 2; i++) expect((await runCli('--recipe', recipe, '--out', at('out'), '-q')).code).toBe(0);
  });
});

describe('what cannot be printed or written for want of room, files or a folder', () => {
  const built = existsSync(path.join(root, 'dist/cli/main.js'));
  const cli = path.join(root, 'bin/quantize.js');
  const linux = process.platform === 'linux' && existsSync('/dev/full');
  const shell = (command: string, env: Record<string, string> = {}): { status: number | null; err: string } => {
    const { status, stderr } = spawnSync('bash', ['-c', command], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    });
    return { status, err: stderr };
  };
  it.skipIf(!linux || !built).each(['inspect $MODEL --json', 'cost $MODEL', '--version', '--help'])(
    '%s > /dev/full exits 3 (skipped without /dev/full or a build)',
    (argv) => {
      const { status, err } = shell(`"${process.execPath}" "${cli}" ${argv} > /dev/full`, { MODEL: demo });
      expect([status, err]).toEqual([
        3,
        expect.stringContaining('OUTPUT_WRITE  the output could not be printed: no space left'),
      ]);
    },
  );
  it.skipIf(!linux || !built)('2> /dev/full exits 3, and a reader that leaves early 0', () => {
    expect(
      shell(`"${process.execPath}" "${cli}" optimize "$MODEL" --out "${at('o.onnx')}" --passes nope 2> /dev/full`, {
        MODEL: demo,
      }).status,
    ).toBeGreaterThan(1);
    expect(
      shell(`"${process.execPath}" "${cli}" inspect "$MODEL" | head -1 > /dev/null; exit \${PIPESTATUS[0]}`, {
        MODEL: demo,
      }).status,
    ).toBe(0);
  });
  it('TMPDIR that does not exist is told before any work', async () => {
    const recipe = job();
    vi.stubEnv('TMPDIR', at('nowhere'));
    try {
      for (const argv of [
        ['--recipe', recipe, '--out', at('out')],
        ['optimize', at('model.onnx'), '--out', at('o.onnx')],
      ]) {
        const r = await runCli(...argv, '-q');
        expect([r.code, r.err]).toEqual([
          3,
          expect.stringMatching(/OUTPUT_WRITE {2}cannot make a temporary folder in .*nowhere.*\n.*TMPDIR/),
        ]);
      }
    } finally {
      vi.unstubAllEnvs();
    }
  });
  it.skipIf(!linux || !built).each([30, 48, 64])(
    '%i open files are an error of the machine, not a bug (skipped off Linux or without a build)',
    (limit) => {
      const { status, err } = shell(
        `ulimit -n ${limit}; "${process.execPath}" "${cli}" --recipe "${job()}" --out "${at('out')}" -q`,
      );
      expect([status === 0 || status === 3, /INTERNAL|bug in quantbench/.test(err)]).toEqual([true, false]);
      if (status === 3) expect(err).toMatch(/too many open files[^]*ulimit -n/);
    },
  );
});

describe('nothing that is printed drives the terminal', () => {
  const EVIL = 'a\x1b]0;pwned\x07\x1b[31mb\u202ec\nd\x9b2Je';
  const evil = (): string => {
    const model = parseModel(
      `<ir_version: 8, opset_import: ["" : 17]> g (float[N,4] x) => (float[N,4] y) <float[4,4] w = ` +
        '{1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}> { [n] h = MatMul(x, w) y = Relu(h) }',
    );
    for (const v of [...model.graph.inputs, ...model.graph.outputs, ...model.graph.initializers]) v.name += EVIL;
    for (const n of model.graph.nodes) {
      n.name = `${n.op}${EVIL}`;
      for (const o of n.outputs) if (!o.isGraphOutput) o.name += EVIL;
    }
    const file = at('m<img src=x>\x1b[31m.onnx');
    saveModel(model, file);
    return file;
  };
  const COMMANDS: readonly (readonly string[])[] = [
    ['inspect'],
    ['inspect', '--text'],
    ['inspect', '--json'],
    ['cost'],
    ['cost', '--json'],
    ['cost', '--top', '1', '--device', '1e12,2e10'],
    ['init'],
    ['bench', '--runs', '3', '--warmup', '0'],
    ['bench', '--runs', '3', '--json'],
  ];
  it.each(COMMANDS)('%s %s %s', async (command, ...flags) => {
    for (const colour of ['0', '1']) {
      vi.stubEnv('FORCE_COLOR', colour);
      const { out, err } = await runCli(command, evil(), ...flags); // each row names a command
      vi.unstubAllEnvs();

      const left = (out + err).replace(colour === '1' ? /\x1b\[(?:1|2|22|31|32|33|39)m/g : /$^/, '');
      expect(left).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]/);
      // Quoted names of the model's text keep their line feeds, so that it can be parsed.
      // a line feed in a name makes no line of its own
      if (command !== 'inspect') expect(out + err).not.toMatch(/^d(\\|e|$)/m);
      if (flags.includes('--json')) expect(() => JSON.parse(out) as unknown).not.toThrow();
    }
  });
  it('optimize and a dry run', async () => {
    const model = evil();
    writeFileSync(at('r.yaml'), RECIPE.replace('model.onnx', JSON.stringify(path.basename(model))));
    for (const argv of [
      ['optimize', model, '--explain', '--out', at('o.onnx')],
      ['--recipe', at('r.yaml'), '--dry-run'],
      ['explain', at('r.yaml')],
      ['evaluate', model],
    ]) {
      const { out, err } = await runCli(...argv);
      expect(out + err).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]/);
    }
  });
  it('JSON on stdout stays JSON with the same strings', async () => {
    const { out } = await runCli('inspect', evil(), '--json');
    expect((JSON.parse(out) as { inputs: string[] }).inputs[0]).toContain(EVIL);
  });
});
