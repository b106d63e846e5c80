/**
 * The folders that `quantize layout` and `export.layout` write, loaded by transformers.js: the same tokens as onnxruntime alone. Set
 * QUANTBENCH_TRANSFORMERS_JS to a folder with @huggingface/transformers in node_modules (npm install --ignore-scripts).
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { item } from '../../src/base/lists.js';
import type { FeedTensor } from '../../src/ir/feed.js';
import { Session } from '../../src/runtime/session.js';
import { runCli } from '../rooms/cli/run-cli.js';

const shared = fileURLToPath(new URL('../../../shared', import.meta.url));
const library = process.env.QUANTBENCH_TRANSFORMERS_JS;
const dir = mkdtempSync(path.join(os.tmpdir(), 'transformers-js-'));
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

const LAYERS = 6;
const CONFIG = {
  model_type: 'llama',
  hidden_size: 256,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  num_hidden_layers: LAYERS,
  vocab_size: 4096,
  max_position_embeddings: 512,
  bos_token_id: 0,
  eos_token_id: 0,
};
/** One passage with an empty past, for the checks of the run. */
const DATA = `export function* samples(_options, inputs) {
  const ids = [422, 260, 540, 624, 460, 1499];
  const empty = { dims: [1, 2, 0, 32], data: new Float32Array(0) };
  const of = { input_ids: ids, attention_mask: ids.map(() => 1), position_ids: ids.map((_, i) => i) };
  yield { feed: Object.fromEntries(inputs.map(({ name }) => [name, of[name] ? { dims: [1, 6], data: of[name] } : empty])) };
}`;
const SCRIPT = `import { env, AutoTokenizer, AutoModelForCausalLM } from '@huggingface/transformers';
env.allowRemoteModels = false;
env.localModelPath = process.argv[2];
const tokenizer = await AutoTokenizer.from_pretrained('transformers.js');
const model = await AutoModelForCausalLM.from_pretrained('transformers.js', { device: 'cpu' });
const out = await model.generate({ ...tokenizer('And the LORD said unto Moses'), max_new_tokens: 16, do_sample: false });
console.log(JSON.stringify(out.tolist()[0].map(Number)));`;

/** The prompt, and the likeliest next token again and again. */
async function greedy(file: string, prompt: readonly number[], more: number): Promise<number[]> {
  const session = await Session.open(file, { threads: 1, spinning: false });
  const long = (list: readonly number[]): FeedTensor => ({
    dtype: 'int64',
    dims: [1, list.length],
    data: BigInt64Array.from(list, BigInt),
  });
  const all = [...prompt];
  try {
    for (let i = 0; i < more && all.at(-1) !== 0; i++) {
      const feed: Record<string, FeedTensor> = {
        input_ids: long(all),
        attention_mask: long(all.map(() => 1)),
        position_ids: long(all.map((_, at) => at)),
      };
      for (let l = 0; l < LAYERS; l++)
        for (const part of ['key', 'value'])
          feed[`past_key_values.${l}.${part}`] = { dtype: 'float32', dims: [1, 2, 0, 32], data: new Float32Array(0) };
      const { logits } = await session.run(feed, ['logits']);
      const last = [...(logits!.data as Float32Array)].slice(-CONFIG.vocab_size);
      all.push(last.reduce((best, x, id) => (x > item(last, best) ? id : best), 0));
    }
  } finally {
    await session.close();
  }
  return all;
}

/** Configuration and tokenizer of the model. */
function original(): string {
  const from = path.join(dir, 'hf');
  mkdirSync(from, { recursive: true });
  writeFileSync(path.join(from, 'config.json'), JSON.stringify(CONFIG));
  writeFileSync(path.join(from, 'tokenizer_config.json'), '{"tokenizer_class":"PreTrainedTokenizerFast"}');
  cpSync(path.join(shared, 'data', 'tinylm', 'tokenizer.json'), path.join(from, 'tokenizer.json'));
  return from;
}

for (const [name, exported] of [
  ['a finished run', undefined],
  ['a recipe, with a data file', { layout: 'transformers.js', externalData: 'always' }],
] as const)
  it(`transformers.js gives the tokens that onnxruntime gives: ${name}`, async (context) => {
    const model = path.join(shared, 'models', 'tinylm.onnx');
    if (library === undefined) return context.skip('QUANTBENCH_TRANSFORMERS_JS names no folder');
    if (!existsSync(model)) return context.skip('../shared is not there');
    const from = original();
    writeFileSync(path.join(dir, 'data.mjs'), DATA);
    const data = { module: './data.mjs' };
    const weights = { dtype: 'uint4', granularity: { block: 32 } };
    const evaluation = { data, latency: false, profile: false, layers: false };
    const quantize = { format: 'weight-only', weights };
    const recipe = { version: 1, model, quantize, evaluation, export: exported && { ...exported, from } };
    writeFileSync(path.join(dir, 'w4.yaml'), JSON.stringify(recipe));
    const run = path.join(dir, name);
    expect(await runCli('--recipe', path.join(dir, 'w4.yaml'), '--out', run, '--quiet')).toMatchObject({ code: 0 });
    const out = path.join(run, 'transformers.js');
    if (!exported) {
      const made = await runCli('layout', run, '--as', 'transformers.js', '--from', from, '--out', out);
      expect(made).toMatchObject({ code: 0 });
    }
    expect(existsSync(path.join(out, 'onnx', 'model_q4.onnx_data'))).toBe(exported !== undefined);
    const script = path.join(library, `quantbench-${process.pid}.mjs`);
    writeFileSync(script, SCRIPT);
    try {
      const said = execFileSync(process.execPath, [script, run], { encoding: 'utf8', cwd: library });
      const theirs = JSON.parse(said.trim().split('\n').at(-1) ?? '') as number[];
      const ours = await greedy(path.join(out, 'onnx', 'model_q4.onnx'), theirs.slice(0, theirs.length - 16), 16);
      expect(theirs.length).toBeGreaterThan(16);
      expect(ours).toEqual(theirs);
    } finally {
      rmSync(script, { force: true });
    }
  }, 400_000);
