/** genai_config.json, from which onnxruntime-genai learns what a decoder's inputs and outputs are. */
import { fail } from '../base/errors.js';
import type { Model } from '../ir/model.js';
import type { ModelConfig } from './origin.js';

/**
 * For a model with inputs and outputs under the names of exporters. Throws DATA_FORMAT where config.json lacks a size,
 * MODEL_UNSUPPORTED where the model has no input_ids, logits and numbered past. source:
 * https://onnxruntime.ai/docs/genai/reference/config.html
 */
export function genaiConfig(config: ModelConfig, { graph }: Model, filename: string): object {
  const number = (...keys: readonly string[]): number => {
    for (const key of keys) {
      const value = config[key];
      if (typeof value === 'number' && Number.isFinite(value)) return value;
    }
    return fail('DATA_FORMAT', `config.json has no number ${keys.join(' or ')}`, {}, 'take that of the float model');
  };
  const inputs = new Set(graph.inputs.map((v) => v.name));
  const outputs = new Set(graph.outputs.map((v) => v.name));
  const has = (name: string): Record<string, string> => (inputs.has(name) ? { [name]: name } : {});
  /** Such as past_key_values.%d.key. */
  const numbered = (names: ReadonlySet<string>, pattern: RegExp): string =>
    [...names].find((n) => pattern.test(n))?.replace(/\b0\b/, '%d') ??
    fail(
      'MODEL_UNSUPPORTED',
      `onnxruntime-genai needs keys and values of earlier tokens, and the model has none that are numbered from 0`,
      {},
      'export the decoder with its cache',
    );
  if (!inputs.has('input_ids') || !outputs.has('logits'))
    fail('MODEL_UNSUPPORTED', 'onnxruntime-genai wants input_ids and logits', {}, 'give a decoder');
  const heads = number('num_attention_heads', 'n_head');
  const width = number('hidden_size', 'n_embd');
  const length = number('max_position_embeddings', 'n_positions', 'max_length');
  const { bos_token_id: bos, eos_token_id: eos, pad_token_id: pad, model_type: type } = config;
  const end = eos ?? bos ?? 0;
  return {
    model: {
      bos_token_id: bos ?? end,
      context_length: length,
      decoder: {
        session_options: { log_id: 'onnxruntime-genai', provider_options: [] },
        filename,
        head_size: config.head_dim ?? width / heads,
        hidden_size: width,
        inputs: {
          input_ids: 'input_ids',
          ...has('attention_mask'),
          ...has('position_ids'),
          past_key_names: numbered(inputs, /^past.*\b0\b.*key/),
          past_value_names: numbered(inputs, /^past.*\b0\b.*value/),
        },
        outputs: {
          logits: 'logits',
          present_key_names: numbered(outputs, /^present.*\b0\b.*key/),
          present_value_names: numbered(outputs, /^present.*\b0\b.*value/),
        },
        num_attention_heads: heads,
        num_hidden_layers: number('num_hidden_layers', 'n_layer'),
        num_key_value_heads: config.num_key_value_heads ?? heads,
      },
      eos_token_id: end,
      pad_token_id: pad ?? (Array.isArray(end) ? (end as unknown[])[0] : end),
      type: typeof type === 'string' ? type : 'decoder',
      vocab_size: number('vocab_size'),
    },
    search: {
      diversity_penalty: 0,
      do_sample: false,
      early_stopping: true,
      length_penalty: 1,
      max_length: length,
      min_length: 0,
      no_repeat_ngram_size: 0,
      num_beams: 1,
      num_return_sequences: 1,
      past_present_share_buffer: false,
      repetition_penalty: 1,
      temperature: 1,
      top_k: 50,
      top_p: 1,
    },
  };
}
