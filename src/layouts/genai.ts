/** genai_config.json, from which onnxruntime-genai learns what a decoder's inputs and outputs are. */
import { fail } from '../base/errors.js';
import { rolesOf, type Role } from '../data/language/roles.js';
import type { ValueInfo } from '../ir/feed.js';
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { ModelConfig } from './origin.js';

/**
 * Types that onnxruntime-genai runs as plain decoders. Others are given as `decoder`, which it runs in the same way.
 * source: https://github.com/microsoft/onnxruntime-genai/blob/main/src/models/model_type.h
 */
const TYPES: ReadonlySet<string> = new Set(
  'chatglm ernie4_5 gemma gemma2 gemma3_text granite llama mistral nemotron olmo phi phi3 phimoe qwen2 qwen3'.split(
    ' ',
  ),
);
/** What it feeds. source: https://onnxruntime.ai/docs/genai/reference/config.html */
const FED: ReadonlySet<Role | undefined> = new Set<Role>(['tokens', 'mask', 'positions', 'past']);

/**
 * For a model with inputs and outputs under the names of exporters; `generation` is generation_config.json. Sizes are
 * those of the model, and of config.json where its shapes leave them open. Throws DATA_FORMAT where config.json lacks a
 * size, MODEL_UNSUPPORTED where the model has no input_ids, logits and numbered past, or an input that is not fed.
 */
export function genaiConfig(
  { config: given, generation = {} }: { readonly config: ModelConfig; readonly generation?: ModelConfig },
  { graph }: Model,
  filename: string,
): object {
  const { text_config: inner } = given; // of models that see or hear, too
  const config = { ...given, ...(isObject(inner) ? inner : {}) };
  const known = (...keys: readonly string[]): number | undefined => keys.map((k) => numberOf(config[k])).find(defined);
  const number = (...keys: readonly string[]): number =>
    known(...keys) ??
    fail('DATA_FORMAT', `config.json has no number ${keys.join(' or ')}`, {}, 'take that of the float model');
  const inputs = graph.inputs.filter((v) => !v.data);
  const named = (list: readonly Value[], name: string): Value | undefined => list.find((v) => v.name === name);
  const logits = named(graph.outputs, 'logits');
  if (!named(inputs, 'input_ids') || !logits)
    fail('MODEL_UNSUPPORTED', 'onnxruntime-genai wants input_ids and logits', {}, 'give a decoder');
  const roles = rolesOf(inputs.map(({ name, dtype, shape }): ValueInfo => ({ name, dtype, shape })));
  const unfed = inputs.find((v) => !FED.has(roles.get(v.name)));
  if (unfed)
    fail(
      'MODEL_UNSUPPORTED',
      `onnxruntime-genai does not feed the input '${unfed.name}'`,
      { tensor: unfed.name },
      'export a decoder that takes input_ids, attention_mask, position_ids and its cache',
    );
  const has = (name: string): Record<string, string> => (named(inputs, name) ? { [name]: name } : {});
  const heads = number('num_attention_heads', 'n_head');
  const width = number('hidden_size', 'n_embd');
  const length = number('max_position_embeddings', 'n_positions', 'max_length');
  const keys = numbered(inputs, /^past.*key(?!_values)/);
  // [batch, heads, tokens, size]; codes of 4 bits are packed
  const size = (axis: number): number | undefined =>
    /^float/.test(keys.first.dtype ?? '') ? numberOf(keys.first.shape?.[axis]) : undefined;
  const token = (key: string): unknown => generation[key] ?? config[key] ?? undefined;
  const [bos, eos, pad] = [token('bos_token_id'), token('eos_token_id'), token('pad_token_id')];
  const end = eos ?? bos ?? 0;
  const first: unknown = Array.isArray(end) ? end[0] : end;
  const { model_type: type } = config;
  const chosen = (key: string): unknown => generation[key] ?? undefined;
  return {
    model: {
      bos_token_id: bos ?? first,
      context_length: length,
      decoder: {
        session_options: { log_id: 'onnxruntime-genai', provider_options: [] },
        filename,
        head_size: size(3) ?? known('head_dim') ?? width / heads,
        hidden_size: width,
        inputs: {
          input_ids: 'input_ids',
          ...has('attention_mask'),
          ...has('position_ids'),
          past_key_names: keys.pattern,
          past_value_names: numbered(inputs, /^past.*value(?!s)/).pattern,
        },
        outputs: {
          logits: 'logits',
          present_key_names: numbered(graph.outputs, /^present.*key(?!_values)/).pattern,
          present_value_names: numbered(graph.outputs, /^present.*value(?!s)/).pattern,
        },
        num_attention_heads: heads,
        num_hidden_layers: keys.count,
        num_key_value_heads: size(1) ?? known('num_key_value_heads') ?? heads,
      },
      eos_token_id: end,
      pad_token_id: pad ?? first,
      type: typeof type === 'string' && TYPES.has(type) ? type : 'decoder',
      vocab_size: numberOf(logits.shape?.at(-1)) ?? number('vocab_size'),
    },
    search: {
      diversity_penalty: 0,
      do_sample: chosen('do_sample') ?? false,
      early_stopping: true,
      length_penalty: 1,
      max_length: length,
      min_length: 0,
      no_repeat_ngram_size: 0,
      num_beams: 1,
      num_return_sequences: 1,
      // a shared buffer holds max_length tokens from the start
      past_present_share_buffer: false,
      repetition_penalty: numberOf(chosen('repetition_penalty')) ?? 1,
      temperature: numberOf(chosen('temperature')) ?? 1,
      top_k: numberOf(chosen('top_k')) ?? 50,
      top_p: numberOf(chosen('top_p')) ?? 1,
    },
  };
}

const isObject = (value: unknown): value is ModelConfig => typeof value === 'object' && value !== null;
const numberOf = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;
const defined = (value: number | undefined): boolean => value !== undefined;

/** Of values that are numbered from 0, such as past_key_values.0.key: the pattern, the first, and how many. */
function numbered(
  values: readonly Value[],
  kind: RegExp,
): { readonly pattern: string; readonly first: Value; readonly count: number } {
  const zero = /(?<!\d)0(?!\d)/;
  const first = values.find((v) => kind.test(v.name) && zero.test(v.name));
  if (!first)
    return fail(
      'MODEL_UNSUPPORTED',
      `onnxruntime-genai needs keys and values of earlier tokens, and the model has none that are numbered from 0`,
      {},
      'export the decoder with its cache',
    );
  const names = new Set(values.map((v) => v.name));
  let count = 1;
  while (names.has(first.name.replace(zero, String(count)))) count++;
  return { pattern: first.name.replace(zero, '%d'), first, count };
}
