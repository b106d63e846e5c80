/** `quantize layout`: files under the names that libraries look for, with their configuration. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { loadModel, saveModel } from '../../../src/onnx/files.js';
import { runWith } from '../gate/helpers.js';
import { runCli } from './run-cli.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'layout-'));
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});
const at = (...parts: readonly string[]): string => path.join(dir, ...parts);
const json = (file: string): Record<string, unknown> =>
  JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;

const DECODER = `<ir_version: 8, opset_import: ["" : 17]>
g (int64[B,S] input_ids, int64[B,T] attention_mask, float[B,2,P,4] "past_key_values.0.key", float[B,2,P,4] "past_key_values.0.value")
  => (float[B,S,8] logits, float[B,2,P,4] "present.0.key", float[B,2,P,4] "present.0.value") <float[8,8] table> {
  logits = Gather(table, input_ids)
  "present.0.key" = Identity("past_key_values.0.key")
  "present.0.value" = Identity("past_key_values.0.value") }`;

/** The folder of a run of weights of a type. */
function run(name: string, format: string, weights: object, exported: object = {}): string {
  mkdirSync(at(name), { recursive: true });
  saveModel(parseModel(DECODER, { randomInitializers: 1 }), at(name, 'model.onnx'));
  const resolved = { quantize: { format, weights }, export: exported };
  const files = [{ path: 'model.onnx', bytes: 1, sha256: '0'.repeat(64), role: 'model' as const }];
  const record = runWith({ name, more: { recipe: { name, resolved, yaml: '' }, files } });
  writeFileSync(at(name, 'run.json'), JSON.stringify(record));
  return at(name);
}
const [q4, q8, half] = [
  run('q4', 'weight-only', { dtype: 'uint4' }),
  run('q8', 'dynamic', {}),
  run('half', 'float16', {}),
];
const odd = run('odd', 'weight-only', { dtype: 'uint4' });
const MERGED = DECODER.replace('int64[B,T] attention_mask', 'int64[B,T] attention_mask, bool[1] use_cache_branch');
saveModel(parseModel(MERGED, { randomInitializers: 1 }), path.join(odd, 'model.onnx'));
mkdirSync(at('hf'));
const CONFIG = {
  model_type: 'llama',
  hidden_size: 16,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_hidden_layers: 1,
  vocab_size: 8,
  max_position_embeddings: 64,
  eos_token_id: [2, 3],
};
writeFileSync(at('hf', 'config.json'), JSON.stringify(CONFIG));
writeFileSync(at('hf', 'tokenizer.json'), '{"model":{}}');
writeFileSync(at('hf', 'notes.txt'), 'not part of it');

describe('layout', () => {
  it('transformers.js: one file for each run, the first by default', async () => {
    const out = at('tjs');
    const made = await runCli(
      'layout',
      q4,
      q8,
      half,
      '--as',
      'transformers.js',
      '--from',
      at('hf'),
      '--out',
      out,
      '--json',
    );
    expect(made).toMatchObject({ code: 0, err: '' });
    expect(readdirSync(path.join(out, 'onnx')).sort()).toEqual([
      'model_fp16.onnx',
      'model_q4.onnx',
      'model_quantized.onnx',
    ]);
    expect(readdirSync(out).sort()).toEqual(['README.md', 'config.json', 'onnx', 'tokenizer.json']);
    expect(json(path.join(out, 'config.json'))).toEqual({ ...CONFIG, 'transformers.js_config': { dtype: 'q4' } });
    expect([...loadModel(path.join(out, 'onnx', 'model_q4.onnx')).graph.nodes]).toHaveLength(3);
    expect(readFileSync(path.join(out, 'README.md'), 'utf8')).toMatch(
      /\| q8 \| `onnx\/model_quantized\.onnx` \| .* \| q8 \|/,
    );
  });

  it('data files get the names of the library, and a second call takes their place', async () => {
    const outside = run('outside', 'weight-only', { dtype: 'int8' }, { shardSize: 5000 });
    const two = DECODER.replace('<float[8,8] table>', '<float[8,128] table, float[8,128] more>')
      .replace('S,8', 'S,128')
      .replace(
        'logits = Gather(table, input_ids)',
        'a = Gather(table, input_ids) b = Gather(more, input_ids) logits = Add(a, b)',
      );
    const model = parseModel(two, { randomInitializers: 1 });
    saveModel(model, path.join(outside, 'model.onnx'), { externalData: 'always' });
    const out = at('twice');
    const call = ['layout', q4, outside, '--as', 'transformers.js', '--from', at('hf'), '--out', out];
    expect(await runCli(...call)).toMatchObject({ code: 0 });
    writeFileSync(path.join(out, 'onnx', 'model_quantized.onnx_data_2'), 'of an earlier call');
    writeFileSync(path.join(out, 'notes.txt'), 'mine');
    expect(await runCli(...call)).toMatchObject({ code: 0 });
    expect(readdirSync(path.join(out, 'onnx')).sort()).toEqual([
      'model_q4.onnx',
      'model_quantized.onnx',
      'model_quantized.onnx_data',
      'model_quantized.onnx_data_1',
    ]);
    expect(readdirSync(out)).toContain('notes.txt');
    expect(json(path.join(out, 'config.json'))['transformers.js_config']).toEqual({
      dtype: 'q4',
      use_external_data_format: { 'model_quantized.onnx': 2 },
    });
    const made = [...loadModel(path.join(out, 'onnx', 'model_quantized.onnx')).graph.initializers];
    expect(made.map((v) => path.basename(v.data?.source.file?.path ?? ''))).toEqual([
      'model_quantized.onnx_data',
      'model_quantized.onnx_data_1',
    ]);
    expect(made.map((v) => v.data?.f32())).toEqual([...model.graph.initializers].map((v) => v.data?.f32()));
  });

  it('onnxruntime-genai: one model and what its inputs are', async () => {
    const out = at('genai');
    const { code } = await runCli('layout', q4, '--as', 'onnxruntime-genai', '--from', at('hf'), '--out', out);
    expect(code).toBe(0);
    expect(json(path.join(out, 'genai_config.json'))).toMatchObject({
      model: {
        type: 'llama',
        context_length: 64,
        vocab_size: 8,
        eos_token_id: [2, 3],
        pad_token_id: 2,
        decoder: {
          filename: 'model.onnx',
          head_size: 4,
          num_key_value_heads: 2,
          inputs: {
            input_ids: 'input_ids',
            attention_mask: 'attention_mask',
            past_key_names: 'past_key_values.%d.key',
            past_value_names: 'past_key_values.%d.value',
          },
          outputs: { logits: 'logits', present_key_names: 'present.%d.key', present_value_names: 'present.%d.value' },
        },
      },
    });
    expect(existsSync(path.join(out, 'onnx'))).toBe(false);
  });

  it('onnxruntime-genai: what generation_config.json says counts first, and unknown types are decoders', async () => {
    mkdirSync(at('chat'));
    const { num_key_value_heads: _heads, model_type: _type, ...config } = CONFIG;
    const inner = { model_type: 'stablelm', text_config: { ...config, head_dim: null }, bos_token_id: null };
    writeFileSync(at('chat', 'config.json'), JSON.stringify(inner));
    const generation = { eos_token_id: [7, 5], do_sample: true, temperature: 0.6, top_k: 20 };
    writeFileSync(at('chat', 'generation_config.json'), JSON.stringify(generation));
    const out = at('genai-chat');
    const made = await runCli('layout', q4, '--as', 'onnxruntime-genai', '--from', at('chat'), '--out', out);
    expect(made).toMatchObject({ code: 0 });
    expect(json(path.join(out, 'genai_config.json'))).toMatchObject({
      model: {
        type: 'decoder',
        bos_token_id: 7,
        eos_token_id: [7, 5],
        pad_token_id: 7,
        decoder: { head_size: 4, num_hidden_layers: 1, num_key_value_heads: 2 }, // as the model's shapes say
      },
      search: { do_sample: true, temperature: 0.6, top_k: 20, top_p: 1, max_length: 64 },
    });
  });

  it.each([
    ['an unknown layout', [q4, '--as', 'ollama', '--from', at('hf')], 2, /layout 'ollama'/],
    [
      'two runs of one type',
      [q4, q4, '--as', 'huggingface', '--from', at('hf')],
      2,
      /two runs would be written to onnx\/model_q4/,
    ],
    ['two runs for onnxruntime-genai', [q4, q8, '--as', 'onnxruntime-genai', '--from', at('hf')], 2, /two runs/],
    [
      'an input that is not fed',
      [odd, '--as', 'onnxruntime-genai', '--from', at('hf')],
      3,
      /does not feed.*'use_cache_branch'/,
    ],
    ['no configuration', [q4, '--as', 'huggingface', '--from', at('q4')], 3, /no config\.json/],
    [
      'a model instead of a run',
      [at('q4', 'model.onnx'), '--as', 'huggingface', '--from', at('hf')],
      2,
      /output folder of a run/,
    ],
  ])('refuses %s', async (_what, argv, code, message) => {
    const out = at('refused');
    const made = await runCli('layout', ...argv, '--out', out);
    expect(made.code).toBe(code);
    expect(made.err).toMatch(message);
    expect(existsSync(out)).toBe(false);
  });
});
