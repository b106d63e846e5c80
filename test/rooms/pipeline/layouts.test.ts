/** `export.layout`: the folder of a library beside a run, and one for all runs of a sweep. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { RunRecord } from '../../../src/record/index.js';
import { Session } from '../../../src/runtime/session.js';
import { runCli } from '../cli/run-cli.js';
import { tinyDecoder } from '../tiny-decoder.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'layouts-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const at = (...parts: readonly string[]): string => path.join(dir, ...parts);

/** A snapshot of a cache of the hub, with the model in `onnx/`. */
const snapshot = at('models--acme--tiny', 'snapshots', 'main');
mkdirSync(path.join(snapshot, 'onnx'), { recursive: true });
const model = tinyDecoder(path.join(snapshot, 'onnx'), 'model.onnx');
writeFileSync(path.join(snapshot, 'config.json'), '{"model_type": "llama"}');
writeFileSync(path.join(snapshot, 'tokenizer.json'), '{}');
writeFileSync(path.join(snapshot, 'LICENSE'), 'do as you like');
const CARD =
  '---\nlicense: apache-2.0\nlanguage: [en, de]\npipeline_tag: text-generation\nbase_model: some/parent\n---\n';
writeFileSync(path.join(snapshot, 'README.md'), CARD);

const recipe = (name: string, weights: object, exported: object, more: object = {}): string => {
  const off = { latency: false, profile: false, layers: false, generation: false };
  const quantize = { format: 'weight-only', weights };
  writeFileSync(
    at(`${name}.yaml`),
    JSON.stringify({ version: 1, model, quantize, export: exported, evaluation: off, ...more }),
  );
  return at(`${name}.yaml`);
};
const q4 = { dtype: 'int4', granularity: { block: 32 } };
const record = (folder: string): RunRecord => JSON.parse(readFileSync(at(folder, 'run.json'), 'utf8')) as RunRecord;
const logits = async (file: string): Promise<unknown> => {
  const session = await Session.open(file);
  const ids = { dtype: 'int64', dims: [1, 2], data: BigInt64Array.of(4n, 5n) } as const;
  const mask = { ...ids, data: BigInt64Array.of(1n, 1n) };
  const past = { dtype: 'float32', dims: [1, 1, 0, 32], data: new Float32Array(0) } as const;
  try {
    return (await session.run({ input_ids: ids, attention_mask: mask, past_key_0: past })).logits?.data;
  } finally {
    await session.close();
  }
};

describe('export.layout', () => {
  it('writes a folder that loads beside the model, and tells of it', async () => {
    const file = recipe('one', q4, { layout: 'transformers.js', externalData: 'always' });
    const made = await runCli('--recipe', file, '--out', at('one'), '--quiet');
    expect(made).toMatchObject({ code: 0 });
    expect(made.out).toContain(path.join('transformers.js', 'README.md'));
    const folder = at('one', 'transformers.js');
    expect(readdirSync(folder).sort()).toEqual(['LICENSE', 'README.md', 'config.json', 'onnx', 'tokenizer.json']);
    const names = readdirSync(path.join(folder, 'onnx')).sort();
    expect(names).toEqual(['model_q4.onnx', 'model_q4.onnx_data']);
    expect(await logits(path.join(folder, 'onnx', 'model_q4.onnx'))).toEqual(await logits(at('one', 'model.onnx')));
    const config = JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8')) as object;
    expect(config).toEqual({
      model_type: 'llama',
      'transformers.js_config': { dtype: 'q4', use_external_data_format: { 'model_q4.onnx': 1 } },
    });
    const { layout, files, model: models } = record('one');
    expect(layout).toEqual({
      name: 'transformers.js',
      variants: [{ dtype: 'q4', file: 'onnx/model_q4.onnx', bytes: expect.any(Number) as number }],
      origin: { model: 'acme/tiny', license: 'apache-2.0', task: 'text-generation', languages: ['en', 'de'] },
    });
    const copies = files.filter((f) => f.path.startsWith('transformers.js/'));
    expect(copies.map((f) => f.role)).toEqual(copies.map(() => 'sidecar')); // no size counts twice
    const shipped = files.filter((f) => f.role === 'model').reduce((n, f) => n + f.bytes, 0);
    expect(models.quantized?.bytes).toBe(shipped);
    const readme = readFileSync(path.join(folder, 'README.md'), 'utf8');
    expect(readme).toMatch(
      /^---\nbase_model: acme\/tiny\nbase_model_relation: quantized\nlibrary_name: transformers.js/,
    );
    expect(readme).toContain('license: apache-2.0');
    expect(readme).toMatch(/\| q4 \| `onnx\/model_q4\.onnx` \| [\d.]+ kB \| one \|/);
  });

  it('a sweep over types shares a folder, one within a type does not', async () => {
    const types = recipe('types', { ...q4, dtype: ['int4', 'int8'] }, { layout: 'huggingface' });
    const made = await runCli('--recipe', types, '--out', at('types'), '--quiet');
    expect(made).toMatchObject({ code: 0 });
    expect(readdirSync(at('types', 'huggingface', 'onnx')).sort()).toEqual(['model_q4.onnx', 'model_quantized.onnx']);
    expect(made.out).toContain(path.join('huggingface', 'onnx', 'model_quantized.onnx'));
    expect(existsSync(at('types', 'dtype-int4', 'huggingface'))).toBe(false);
    const readme = readFileSync(at('types', 'huggingface', 'README.md'), 'utf8');
    expect(readme.match(/^\| q[48] \|/gm)).toEqual(['| q4 |', '| q8 |']);
    const blocks = recipe('blocks', { dtype: 'int4', granularity: { block: [16, 32] } }, { layout: 'huggingface' });
    expect(await runCli('--recipe', blocks, '--out', at('blocks'), '--quiet')).toMatchObject({ code: 0 });
    const folders = readdirSync(at('blocks')).filter((f) => !f.startsWith('compare'));
    expect(folders).toHaveLength(2);
    for (const f of folders) expect(existsSync(at('blocks', f, 'huggingface', 'onnx', 'model_q4.onnx'))).toBe(true);
  });

  it.each([
    ['a folder without configuration', { layout: 'huggingface', from: '.' }, 3, /no config\.json/, {}],
    [
      'a folder that is not there',
      { layout: 'huggingface', from: 'nowhere' },
      3,
      /folder "nowhere" does not exist/,
      {},
    ],
    ['a folder without a layout', { from: '.' }, 2, /export\.layout names none/, {}],
    ['a model that the library does not run', { layout: 'onnxruntime-genai' }, 3, /config\.json has no number/, {}],
    ['a runtime of its own files', { layout: 'huggingface' }, 2, /gets a folder of its own/, { target: 'litert' }],
  ])('refuses %s before any work', async (_what, exported, code, message, more) => {
    const file = recipe('refused', q4, exported, more);
    const made = await runCli('--recipe', file, '--out', at('refused'), '--dry-run');
    expect(made.err).toMatch(message);
    expect(made.code).toBe(code);
    expect(existsSync(at('refused'))).toBe(false);
  });
});
