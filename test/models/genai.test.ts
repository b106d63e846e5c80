/**
 * The folder that `export.layout: onnxruntime-genai` writes, loaded by onnxruntime-genai: the same tokens as our own
 * greedy generation in onnxruntime. Set QUANTBENCH_GENAI_PYTHON to a Python with onnxruntime-genai.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { continueGreedily } from '../../src/evaluate/generate.js';
import { loadModel } from '../../src/onnx/files.js';
import { fedInputs } from '../../src/pipeline/inputs.js';
import { Session } from '../../src/runtime/session.js';
import { runCli } from '../rooms/cli/run-cli.js';
import { weight, writeModel } from '../rooms/pipeline/models.js';

const shared = fileURLToPath(new URL('../../../shared', import.meta.url));
const python = process.env.QUANTBENCH_GENAI_PYTHON;
const dir = mkdtempSync(path.join(os.tmpdir(), 'genai-'));
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

const SCRIPT = `
import json, sys
import onnxruntime_genai as og
model = og.Model(sys.argv[1])
prompt = json.loads(sys.argv[2])
params = og.GeneratorParams(model)
params.set_search_options(max_length=len(prompt) + int(sys.argv[3]), do_sample=False)
generator = og.Generator(model, params)
generator.append_tokens(prompt)
while not generator.is_done():
    generator.generate_next_token()
print(json.dumps([int(t) for t in generator.get_sequence(0)]))
`;
const TOKENS = 24;

/** Two layers of GroupQueryAttention with rotary embeddings, and random weights. */
function grouped(folder: string): string {
  const [V, D, H, K, S] = [96, 64, 4, 2, 16];
  const layer = (l: number): { weights: string[]; nodes: string; inputs: string; outputs: string } => {
    const w = (name: string, dims: readonly number[]): string => weight(`${name}${l}`, [...dims], 0.2);
    const past = ['key', 'value'].map((k) => `"past_key_values.${l}.${k}"`);
    const present = ['key', 'value'].map((k) => `"present.${l}.${k}"`);
    const cache = (names: readonly string[], axis: string): string =>
      names.map((n) => `float[batch,${K},${axis},${S}] ${n}`).join(', ');
    return {
      weights: [w('q', [D, H * S]), w('k', [D, K * S]), w('v', [D, K * S]), w('o', [H * S, D]), w('up', [D, D])],
      nodes: `q_${l} = MatMul(x${l}, q${l})  k_${l} = MatMul(x${l}, k${l})  v_${l} = MatMul(x${l}, v${l})
        a_${l}, ${present.join(', ')} = com.microsoft.GroupQueryAttention<num_heads = ${H}, kv_num_heads = ${K}, do_rotary = 1>(q_${l}, k_${l}, v_${l}, ${past.join(', ')}, last, total, cos, sin)
        o_${l} = MatMul(a_${l}, o${l})  r_${l} = Add(x${l}, o_${l})  u_${l} = MatMul(r_${l}, up${l})
        t_${l} = Tanh(u_${l})  x${l + 1} = Add(r_${l}, t_${l})`,
      inputs: cache(past, 'past'),
      outputs: cache(present, 'total'),
    };
  };
  const layers = [layer(0), layer(1)];
  const all = (of: (l: ReturnType<typeof layer>) => string | string[]): string => layers.flatMap(of).join(', ');
  const angles = (f: (x: number) => number): string =>
    Array.from({ length: 128 * (S / 2) }, (_, i) =>
      f(Math.floor(i / (S / 2)) / 100 ** ((i % (S / 2)) / (S / 2))).toFixed(6),
    ).join(', ');
  return writeModel(
    path.join(folder, 'model.onnx'),
    `<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
    g (int64[batch,sequence] input_ids, int64[batch,total] attention_mask, ${all((l) => l.inputs)})
      => (float[batch,sequence,${V}] logits, ${all((l) => l.outputs)})
      <${weight('table', [V, D])}, ${weight('head', [D, V], 0.3)}, ${all((l) => l.weights)},
       float[128,${S / 2}] cos = {${angles(Math.cos)}}, float[128,${S / 2}] sin = {${angles(Math.sin)}},
       int64[1] one = {1}, int64 at = {1}> {
      x0 = Gather(table, input_ids)
      sum = ReduceSum(attention_mask, one)
      seen = Sub(sum, one)
      last = Cast<to = 6>(seen)
      sizes = Shape(attention_mask)
      whole = Gather(sizes, at)
      total = Cast<to = 6>(whole)
      ${layers.map((l) => l.nodes).join('\n')}
      logits = MatMul(x2, head)
    }`,
  );
}

/** What both make of a prompt with the model that a recipe gives. */
async function both(
  folder: string,
  more: { readonly quantize: object; readonly export?: object; readonly calibration?: object; readonly model: string },
  prompt: readonly number[],
): Promise<{ readonly ours: readonly number[]; readonly theirs: readonly number[] }> {
  const evaluation = { samples: 4, latency: false, profile: false, layers: false, generation: false };
  const recipe = path.join(folder, 'recipe.yaml');
  const exported = { layout: 'onnxruntime-genai', from: folder, ...more.export };
  writeFileSync(recipe, JSON.stringify({ version: 1, evaluation, ...more, export: exported }));
  const out = path.join(folder, 'out');
  const made = await runCli('--recipe', recipe, '--out', out, '--quiet');
  expect(made, made.err).toMatchObject({ code: 0 });
  const script = path.join(folder, 'generate.py');
  writeFileSync(script, SCRIPT);
  const laid = path.join(out, 'onnxruntime-genai');
  const said = execFileSync(python ?? '', [script, laid, JSON.stringify(prompt), String(TOKENS)], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  const theirs = JSON.parse(said.trim().split('\n').at(-1) ?? '') as number[];
  const { model } = JSON.parse(readFileSync(path.join(laid, 'genai_config.json'), 'utf8')) as {
    model: { eos_token_id: number };
  };
  const file = path.join(laid, 'model.onnx');
  const session = await Session.open(file, { threads: 1, spinning: false });
  try {
    const how = { prompt, tokens: TOKENS, end: model.eos_token_id };
    const { tokens } = await continueGreedily(session, fedInputs(loadModel(file)), how);
    // it leaves out the token that ends the text
    const continued = tokens.at(-1) === how.end ? tokens.slice(0, -1) : tokens;
    return { ours: [...prompt, ...continued], theirs };
  } finally {
    await session.close();
  }
}

const folderOf = (name: string, config: object): string => {
  const folder = path.join(dir, name);
  mkdirSync(folder);
  const ends = { bos_token_id: 0, eos_token_id: 0 };
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify({ ...ends, ...config }));
  return folder;
};
const RANDOM = {
  model_type: 'opt', // which it does not know
  hidden_size: 64,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_hidden_layers: 2,
  vocab_size: 96,
  max_position_embeddings: 128,
};
const TINY = {
  model_type: 'llama',
  hidden_size: 256,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  num_hidden_layers: 6,
  vocab_size: 4096,
  max_position_embeddings: 512,
};
const weights = { dtype: 'uint4', granularity: { block: 32 } };
const NO_PYTHON = 'QUANTBENCH_GENAI_PYTHON names no Python';
const PASSAGE = [422, 260, 540, 624, 460, 1499];

describe('onnxruntime-genai gives the tokens that our own generation gives', () => {
  for (const [name, quantize, exported] of [
    ['4 bits', { format: 'weight-only', weights }, {}],
    ['4 bits in a data file', { format: 'weight-only', weights }, { externalData: 'always' }],
    ['float16', { format: 'float16' }, {}],
  ] as const)
    it(`random weights, GroupQueryAttention: ${name}`, async (context) => {
      if (python === undefined) return context.skip(NO_PYTHON);
      const folder = folderOf(`random ${name}`.replaceAll(' ', '-'), RANDOM);
      const { ours, theirs } = await both(
        folder,
        { model: grouped(folder), quantize, export: exported },
        [3, 5, 7, 11],
      );
      expect(theirs.length).toBeGreaterThan(8);
      expect(ours).toEqual(theirs);
    }, 400_000);

  for (const [name, more] of [
    ['tinylm.onnx', {}],
    ['tinylm-gqa.onnx', {}],
    ['tinylm-gqa.onnx', { kvCache: { bits: 8, granularity: 'channel' } }],
  ] as const)
    it(`${name} ${JSON.stringify(more)}`, async (context) => {
      const model = path.join(shared, 'models', name);
      if (python === undefined) return context.skip(NO_PYTHON);
      if (!existsSync(model)) return context.skip('../shared is not there');
      const folder = folderOf(`${name}-${Object.keys(more).length}`, TINY);
      const texts = path.join(shared, 'data', 'tinylm');
      const data = {
        text: path.join(texts, 'test.jsonl'),
        tokenizer: path.join(texts, 'tokenizer.json'),
        maxLength: 64,
      };
      const quantize = { format: 'weight-only', weights, ...more };
      const { ours, theirs } = await both(
        folder,
        { model, quantize, ...('kvCache' in more ? { calibration: { data, samples: 8 } } : {}) },
        PASSAGE,
      );
      expect(theirs.length).toBe(PASSAGE.length + TOKENS);
      expect(ours).toEqual(theirs);
    }, 400_000);
});
