/**
 * What the inputs of language models are, by the names that exporters give them. Sources: the ONNX configs of
 * https://github.com/huggingface/optimum-onnx, onnxruntime-genai's builder, and onnxruntime's transformers tools.
 */
import type { ValueInfo } from '../../ir/feed.js';

/**
 * - tokens, embeddings: the sequence itself, [batch, tokens] and [batch, tokens, width].
 * - mask, segments, positions: beside it; a mask counts the past too.
 * - past: keys and values of earlier tokens, or another state; past-crossed, those of the encoder's.
 * - branch: whether a merged decoder uses the past.
 * - places: the places of the tokens in the cache, [tokens].
 * - encoder-states, encoder-mask: what the encoder gave, [batch, places, width], and which of it counts.
 * - heads: factors of attention heads. kept: how many last logits are wanted; 0 is all of them.
 * - past-length, total-length, last-place: sizes that onnxruntime's own exporters ask for.
 */
export type Role =
  | 'tokens'
  | 'embeddings'
  | 'mask'
  | 'segments'
  | 'positions'
  | 'past'
  | 'past-crossed'
  | 'branch'
  | 'places'
  | 'encoder-states'
  | 'encoder-mask'
  | 'heads'
  | 'kept'
  | 'past-length'
  | 'total-length'
  | 'last-place';

/** In this order; each with the numbers of axes that the input may have. */
const NAMES: readonly (readonly [role: Role, name: RegExp, ranks: readonly number[]])[] = [
  ['tokens', /^(decoder_)?input_ids$/, [2]],
  ['embeddings', /^(decoder_)?inputs_embeds$/, [3]],
  ['mask', /^(decoder_)?attention_mask$/, [2]],
  ['segments', /^token_type_ids$/, [2]],
  ['positions', /^(decoder_)?position_ids$/, [1, 2, 3]],
  ['branch', /^use_cache(_branch)?$/, [0, 1]],
  ['places', /^cache_position$/, [1]],
  ['encoder-states', /^encoder_(hidden_states|outputs)$/, [3]],
  ['encoder-mask', /^encoder_attention_mask$/, [2]],
  ['heads', /^((decoder|cross_attn)_)?head_mask$/, [1, 2]],
  ['kept', /^(num_)?logits_to_keep$/, [0, 1]],
  ['past-length', /^past_(seq(uence)?_)?len(gth)?$/, [0, 1]],
  ['total-length', /^total_(seq(uence)?_)?len(gth)?$/, [0, 1]],
  ['last-place', /^seqlens_k$/, [1, 2]],
  ['past-crossed', /^past_?(key|value|\d|\.).*[._](encoder|cross)([._]|$)/, [3, 4, 5]],
  ['past', /^(past|past_(key|value|conv|ssm|recurrent).*|past[._]?\d.*|cache_params.*)$/, [2, 3, 4, 5]],
];

/** The inputs of a model with their roles; those that are of no language model have none. */
export type Roles = ReadonlyMap<string, Role>;

function roleOf({ name, shape, dtype }: ValueInfo): Role | undefined {
  const found = NAMES.find(([, pattern]) => pattern.test(name));
  if (!found || dtype === 'string') return undefined;
  return shape === undefined || found[2].includes(shape.length) ? found[0] : undefined;
}

const NONE: Roles = new Map();

/** Empty for a model that takes no tokens, nor their embeddings. */
export function rolesOf(inputs: readonly ValueInfo[]): Roles {
  const found = inputs.flatMap((i): [string, Role][] => {
    const role = roleOf(i);
    return role ? [[i.name, role]] : [];
  });
  return found.some(([, role]) => role === 'tokens' || role === 'embeddings') ? new Map(found) : NONE;
}

/** Roles whose first axis is not the batch: one value is that of all samples. */
const SHARED: ReadonlySet<Role> = new Set<Role>(['branch', 'places', 'heads', 'kept', 'past-length', 'total-length']);

/** Inputs that all samples of a batch share, by name. */
export function sharedInputs(inputs: readonly ValueInfo[]): ReadonlySet<string> {
  const shared = [...rolesOf(inputs)].filter(([, role]) => SHARED.has(role)).map(([name]) => name);
  const one = inputs.filter((i) => i.shape?.length === 1 && /position_ids$/.test(i.name)).map((i) => i.name);
  return new Set(shared.length ? [...shared, ...one] : []);
}

/** Whether a model continues texts: it takes tokens, and has or makes a past or logits of each place. */
export function isDecoder(inputs: readonly ValueInfo[], outputs: readonly ValueInfo[]): boolean {
  const roles = rolesOf(inputs);
  if (!roles.size) return false;
  if ([...roles.values()].some((r) => r === 'past' || r === 'past-crossed' || r === 'encoder-states')) return true;
  return (
    outputs.some((o) => /^present/.test(o.name)) || (outputs[0]?.name === 'logits' && outputs[0].shape?.length === 3)
  );
}

const FILLED: Readonly<Record<Role, string>> = {
  tokens: 'token ids',
  embeddings: 'embeddings of tokens',
  mask: 'ones, 0 for padding',
  segments: 'the segment of each token',
  positions: '0, 1, 2 …',
  past: 'empty',
  'past-crossed': 'empty',
  branch: 'false, as nothing is past',
  places: '0, 1, 2 …',
  'encoder-states': 'what the encoder gives',
  'encoder-mask': 'ones',
  heads: 'ones',
  kept: '0, all logits',
  'past-length': '0',
  'total-length': 'the number of tokens',
  'last-place': 'the number of tokens − 1',
};

/**
 * What is filled in for the inputs of a language model, in their order, such as `attention_mask: ones, 0 for padding`;
 * numbered ones of one role are told together.
 */
export function filledInputs(inputs: readonly ValueInfo[]): readonly string[] {
  const groups = new Map<string, { readonly first: string; readonly role: Role; count: number }>();
  for (const [name, role] of rolesOf(inputs)) {
    const key = role === 'past' || role === 'past-crossed' ? name.replace(/\d+/g, '*') : name;
    const known = groups.get(key);
    if (known) known.count++;
    else groups.set(key, { first: name, role, count: 1 });
  }
  return [...groups].map(
    ([key, { first, role, count }]) => `${count > 1 ? `${key} (${count})` : first}: ${FILLED[role]}`,
  );
}
