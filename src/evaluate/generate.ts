/** Texts continued greedily by a language model, with its cache in use: what a user of it sees. */
import { item } from '../base/lists.js';
import { fixedLength, fixedSizes, languageFeed, needsPast } from '../data/language/feed.js';
import { rolesOf, type Role, type Roles } from '../data/language/roles.js';
import type { Feed, FeedTensor, Sample, ValueInfo } from '../ir/feed.js';
import type { Runnable } from '../runtime/session.js';
import { largest } from './next-tokens.js';
import { numbersOf } from './tensors.js';

export interface Continued {
  /** Ids that follow the prompt. */
  readonly tokens: readonly number[];
  /** Milliseconds of the run over the prompt, which gives the first token. */
  readonly prefillMs: number;
  /** Of each token after it. */
  readonly stepMs: readonly number[];
}
export interface GenerateOptions {
  readonly prompt: readonly number[];
  /** Most tokens to make. */
  readonly tokens: number;
  /** A token that ends the text. */
  readonly end?: number | undefined;
  /** What does not follow from the tokens: an encoder's output, and inputs by hand. */
  readonly context?: Feed | undefined;
  /** No further token once this clock time has passed. */
  readonly until?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The output that becomes each input of the past in the next run, by input. */
export function cachePairs(inputs: readonly ValueInfo[], outputs: readonly ValueInfo[]): ReadonlyMap<string, string> {
  const roles = rolesOf(inputs);
  const names = new Set(outputs.map((o) => o.name));
  const found = new Map<string, string>();
  for (const { name } of inputs) {
    if (!isPast(roles.get(name))) continue;
    const forms = [
      name.replace(/^past_key_values/, 'present'),
      name.replace(/^past/, 'present'),
      name.replace(/^past_/, 'new_'),
    ];
    const match = forms.find((f) => f !== name && names.has(f));
    if (match !== undefined) found.set(name, match);
  }
  return found;
}

const isPast = (role: Role | undefined): boolean => role === 'past' || role === 'past-crossed';

/** Why a model cannot be run token after token here; undefined where it can. */
export function whyNotGenerated(inputs: readonly ValueInfo[], outputs: readonly ValueInfo[]): string | undefined {
  const roles = rolesOf(inputs);
  if (![...roles.values()].includes('tokens')) return 'it takes no token ids';
  if (needsPast(roles)) return 'it goes on from what another part of the model computed';
  const fixed = fixedLength(inputs, roles);
  if (fixed !== undefined) return `it takes exactly ${fixed} tokens`;
  const pasts = inputs.filter((i) => isPast(roles.get(i.name)));
  const pairs = cachePairs(inputs, outputs);
  const lost = pasts.find((i) => !pairs.has(i.name));
  if (lost) return `no output goes on from its input '${lost.name}'`;
  const { past } = fixedSizes(inputs, roles, { batch: 1, tokens: 1, past: 0, encoder: 1 });
  if (past > 0)
    return `its cache has a fixed size of ${past} tokens, and its program tells which are filled, not the model`;
  return undefined;
}

/** The output of logits: the one that is called so, else the first of three axes. */
export const logitsOf = (outputs: readonly ValueInfo[]): ValueInfo | undefined =>
  outputs.find((o) => o.name === 'logits') ?? outputs.find((o) => o.shape?.length === 3);

/**
 * Continues a prompt by the likeliest token each time, the first of equal ones. With a cache each run takes the last
 * token alone; a model without one runs over the whole text again. `inputs` are those of the model, as far as is known
 * of them. Throws what running throws.
 */
export async function continueGreedily(
  model: Runnable,
  inputs: readonly ValueInfo[],
  o: GenerateOptions,
): Promise<Continued> {
  const roles = rolesOf(inputs);
  const pairs = cachePairs(inputs, model.outputs);
  const logits = logitsOf(model.outputs);
  const tokens: number[] = [];
  const stepMs: number[] = [];
  let prefillMs = 0;
  let cache: Record<string, FeedTensor> = {};
  let [ids, past] = [o.prompt, 0];
  while (logits && tokens.length < o.tokens) {
    o.signal?.throwIfAborted();
    const start = performance.now();
    const feed = { ...feedOf(inputs, roles, ids, past, o.context), ...cache };
    const made = await model.run(feed, [logits.name, ...pairs.values()]);
    const ms = performance.now() - start;
    if (tokens.length) stepMs.push(ms);
    else prefillMs = ms;
    const next = lastToken(made[logits.name], ids.length);
    if (next === undefined) break; // NaN: nothing follows
    tokens.push(next);
    if (next === o.end || performance.now() > (o.until ?? Infinity)) break;
    if (pairs.size) {
      past += ids.length;
      cache = nextCache(cache, pairs, roles, made);
      ids = [next];
    } else ids = [...ids, next];
  }
  return { tokens, prefillMs, stepMs };
}

/** The beginning of a sample's tokens, and what of its feed does not follow from them. */
export function promptOf(
  { feeds, target }: Sample,
  inputs: readonly ValueInfo[],
  most: number,
): { readonly prompt: readonly number[]; readonly context: Feed } | undefined {
  const roles = rolesOf(inputs);
  const feed = feeds[0] ?? {};
  const name = inputs.find((i) => roles.get(i.name) === 'tokens')?.name ?? '';
  const ids = feed[name] && numbersOf(feed[name]);
  if (!ids?.length) return undefined;
  // what an encoder–decoder pair starts with; of a text, so much that something is left to compare with
  const length = target?.prompt ?? Math.max(1, Math.min(most, Math.ceil(ids.length / 2)));
  const kept = (n: string): boolean => {
    const role = roles.get(n);
    return role === undefined || role === 'encoder-states' || role === 'encoder-mask';
  };
  const context = Object.fromEntries(Object.entries(feed).filter(([n]) => kept(n)));
  return { prompt: Array.from(ids).slice(0, length), context };
}

function feedOf(
  inputs: readonly ValueInfo[],
  roles: Roles,
  ids: readonly number[],
  past: number,
  context: Feed = {},
): Feed {
  const encoder = Object.entries(context).find(([name]) => roles.get(name) === 'encoder-states')?.[1].dims[1] ?? 1;
  return { ...idsFeed(inputs, roles, [ids], past, encoder), ...context };
}

/** Rows of equally many ids that follow `past` others; what is in the cache takes the place of a past. */
export function idsFeed(
  inputs: readonly ValueInfo[],
  roles: Roles,
  rows: readonly (readonly number[])[],
  past: number,
  encoder = 1,
): Feed {
  const tokens = item(rows, 0).length;
  const own = past ? inputs.filter((i) => !isPast(roles.get(i.name))) : inputs;
  const sizes = { ...fixedSizes(inputs, roles, { batch: rows.length, tokens, past, encoder }), past };
  return languageFeed(own, roles, sizes, {
    token: (_input, row, column) => item(item(rows, row), column),
    segment: () => 0,
    length: () => tokens,
    real: () => 0,
    hasPast: past > 0,
  });
}

/** Keys and values of an encoder's output stay those of the first run. */
function nextCache(
  before: Readonly<Record<string, FeedTensor>>,
  pairs: ReadonlyMap<string, string>,
  roles: Roles,
  made: Feed,
): Record<string, FeedTensor> {
  const next: Record<string, FeedTensor> = {};
  for (const [input, output] of pairs) {
    const found = roles.get(input) === 'past-crossed' ? (before[input] ?? made[output]) : made[output];
    if (found) next[input] = found;
  }
  return next;
}

/** The likeliest token after the last one; undefined where a logit is NaN, or there are none. */
function lastToken(logits: FeedTensor | undefined, length: number): number | undefined {
  const vocabulary = logits?.dims.at(-1) ?? 0;
  if (!logits || !vocabulary || !ArrayBuffer.isView(logits.data)) return undefined;
  const rows = logits.data.length / vocabulary; // one, where a model gives the last logits alone
  const at = (Math.min(rows, length) - 1) * vocabulary;
  const row = { dtype: logits.dtype, dims: [vocabulary], data: logits.data.subarray(at, at + vocabulary) };
  const values = numbersOf(row);
  const best = values ? largest(values, 0, vocabulary) : -1;
  return best < 0 ? undefined : best;
}
