/** First recipes: the right format for the model, and they run. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { guessDataSpec } from '../../../src/data/init.js';
import { weight, writeModel, writeNpy } from '../pipeline/models.js';
import { runCli as run } from './run-cli.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-init-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const file = (name: string): string => path.join(dir, name);
const conv = writeModel(
  file('conv.onnx'),
  `g (float[N,3,16,16] x) => (float[N,4,14,14] y) <${weight('w', [4, 3, 3, 3])}> { y = Conv(x, w) }`,
);
const audio = writeModel(
  file('audio.onnx'),
  (
    `g (float[N,2,64] x) => (float[N,8,62] y) <${weight('w', [8, 2, 3])}, ${weight('k', [32, 8, 3])}> { a = ` +
    'Conv(x, w)  b = Conv <pads = [1,1]> (a, k)  z = Relu(b)  y = Slice(z, s, e, one) }'
  ).replace('<float[8,2,3]', '<int64[1] s = {0}, int64[1] e = {8}, int64[1] one = {1}, float[8,2,3]'),
);
/** A spectrogram by convolution with decibels, and little behind it; or much. */
const sound = (name: string, behind: string): string =>
  writeModel(
    file(`${name}.onnx`),
    `g (float[1,1,2000] x) => (float y) <${weight('re', [64, 1, 256])}, ${weight('im', [64, 1, 256])}, ` +
      `${weight('k', [8, 64, 3])}, ${weight('m', [512, 64, 3])}, ${weight('n', [64, 512, 3])}, ${weight(
        'w',
        [64, 8],
      )}> {
      a = Conv<strides=[50]>(x, re) b = Conv<strides=[50]>(x, im) c = Mul(a, a) d = Mul(b, b) p = Add(c, d) l = Log(p) ${behind} }`,
  );
const little = sound('little', 'y = Conv(l, k)');
const much = sound('much', 'f = Conv(l, m) r = Relu(f) y = Conv(r, n)');
const none = sound('none', 'y = Relu(l)');
const tabular = writeModel(
  file('tabular.onnx'),
  `g (float[N,16] x) => (float[N,4] y) <${weight('w', [16, 4])}> { y = MatMul(x, w) }`,
);
const lstm = writeModel(
  file('lstm.onnx'),
  `g (float[S,N,8] x) => (float[S,D,N,8] y) <${weight('w', [1, 32, 8])}, ${weight('r', [1, 32, 8])}> { y, h, c ` +
    '= LSTM <hidden_size = 8> (x, w, r) }',
);
const gru = writeModel(
  file('gru.onnx'),
  `g (float[S,N,8] x) => (float[S,D,N,32] y) <${weight('w', [1, 96, 8])}, ${weight('r', [1, 96, 32])}> { y, h ` +
    '= GRU <hidden_size = 32> (x, w, r) }',
);
const trees = writeModel(
  file('trees.onnx'),
  `<ir_version: 8, opset_import: ["ai.onnx.ml" : 3]> g (float[N,2] x) => (float[N,2] y) {
  y = ai.onnx.ml.Scaler <offset = [0.0, 0.0], scale = [1.0, 2.0]> (x) }`,
);

describe('init', () => {
  it.each([
    ['conv', conv, 'qdq'],
    ['audio', audio, 'coded'],
    ['little', little, 'float16'],
    ['none', none, 'float16'],
    ['tabular', tabular, 'dynamic'],
    ['lstm', lstm, 'dynamic'],
    ['gru', gru, 'coded'],
  ])(
    '%s: the format that suits it, and the recipe runs',
    async (name, model, format) => {
      const recipe = file(`${name}.yaml`);
      expect((await run('init', model, '--out', recipe)).code).toBe(0);
      const text = readFileSync(recipe, 'utf8');
      expect(parse(text)).toMatchObject({ quantize: { format } });
      const schema = /^# yaml-language-server: \$schema=(.+)$/m.exec(text)![1]!;
      expect(JSON.parse(readFileSync(path.resolve(dir, schema), 'utf8'))).toHaveProperty('properties.quantize');
      const ran = await run(
        '--recipe',
        recipe,
        '--out',
        file(name),
        '--set',
        'calibration.samples=4',
        '--set',
        'evaluation.samples=4',
        '--set',
        'evaluation.latency=false',
        '--set',
        'evaluation.collapse=0',
      );
      expect(ran.err).not.toMatch(/^\S*(QUANTIZE|MODEL|DATA|RECIPE)_/m);
      expect(ran.code).toBe(0);
    },
    60_000,
  );
  it('takes static int8 for convolutions on data that are given, whatever they are', async () => {
    const recipe = file('audio-data.yaml');
    await run('init', audio, '--data', writeNpy(file('a.npy'), [6, 2, 64]), '--out', recipe);
    expect(parse(readFileSync(recipe, 'utf8'))).toMatchObject({
      quantize: { format: 'qdq' },
      calibration: { data: { npy: 'a.npy' } },
    });
  });
  it('takes static int8 for sound where most of the work comes after the spectrum', async () => {
    writeNpy(file('waves.npy'), [3, 1, 2000]);
    const recipe = file('much.yaml');
    expect((await run('init', much, '--data', file('waves.npy'), '--out', recipe)).code).toBe(0);
    expect(parse(readFileSync(recipe, 'utf8'))).toMatchObject({ quantize: { format: 'qdq' } });
    const bare = await run('init', much);
    expect(bare.out).toContain('npz: path/to/waveforms');
  });
  it('says at once that nothing can be gained', async () => {
    const { code, err } = await run('init', trees);
    expect(code).toBe(3);
    expect(err).toContain('QUANTIZE_NOTHING');
    expect(err).toContain('ai.onnx.ml');
  });
});

describe('guessDataSpec of JSON lines', () => {
  it('finds texts and a label', async () => {
    mkdirSync(file('text'), { recursive: true });
    writeFileSync(file('text/tokenizer.json'), '{}');
    writeFileSync(
      file('text/a.jsonl'),
      '{"id": 1, "sentence": "a", "other": "b", "score": 0.5}\n\n' +
        '{"id": 2, "sentence": "c", "other": "d", "score": 1}\n',
    );
    expect(await guessDataSpec(file('text/a.jsonl'))).toEqual({
      text: file('text/a.jsonl'),
      tokenizer: file('text/tokenizer.json'),
      fields: ['sentence', 'other'],
      label: 'score',
    });
    writeFileSync(file('text/bad.jsonl'), '{"a": "b"}\n[1]\n');
    await expect(guessDataSpec(file('text/bad.jsonl'))).rejects.toMatchObject({
      code: 'DATA_FORMAT',
      where: { line: 2 },
    });
  });
});
