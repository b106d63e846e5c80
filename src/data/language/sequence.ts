/** One sequence of tokens as the feed of a model: ids as they are given, all else as it follows from them. */
import { fail, nearest, type Where } from '../../base/errors.js';
import type { Feed, FeedTensor, Target, ValueInfo } from '../../ir/feed.js';
import { arrayOf, fitFeed } from '../feeds.js';
import type { DataSpec } from '../spec.js';
import { fixedLength, fixedSizes, languageFeed, needsPast } from './feed.js';
import { rolesOf, type Roles } from './roles.js';

export interface Sequence {
  readonly ids: ArrayLike<number>;
  readonly types?: ArrayLike<number> | undefined;
  /** What the encoder gave for it, [1, places, width]. */
  readonly encoded?: FeedTensor | undefined;
}
type Given = NonNullable<DataSpec['inputs']>;

export interface SequenceFeeder {
  /** The number of tokens that the model fixes, if it does. */
  readonly fixed: number | undefined;
  /** Padded to `length` tokens, where that is more. Throws DATA_SHAPE. */
  feed(sequence: Sequence, padId: number, length: number, where: Where): Feed;
}

/** Feeds of sequences for a model. Throws DATA_SHAPE where an input is neither known, nor given by hand. */
export function sequenceFeeder(kind: string, inputs: readonly ValueInfo[], given: Given = {}): SequenceFeeder {
  const roles = rolesOf(inputs);
  assertFed(kind, inputs, roles, given);
  const fixed = fixedLength(inputs, roles);
  const rows = fixed === undefined ? inputs : inputs.map((i) => oneRow(i, inputs, roles));
  return {
    fixed,
    feed: (s, padId, length, where) => {
      const tokens = Math.max(length, s.ids.length);
      const sizes = fixedSizes(rows, roles, { batch: 1, tokens, past: 0, encoder: s.encoded?.dims[1] ?? 1 });
      const known = languageFeed(
        rows,
        roles,
        { ...sizes, tokens, batch: 1 },
        {
          token: (input, _row, column, below) => idAt(s.ids, column, padId, below, { ...where, tensor: input }),
          segment: (_row, column) => s.types?.[column] ?? 0,
          length: () => s.ids.length,
          real: () => 0,
          hasPast: false,
        },
      );
      const encoded = inputs.find((i) => roles.get(i.name) === 'encoder-states');
      const all = { ...known, ...(encoded && s.encoded ? { [encoded.name]: s.encoded } : {}) };
      return fitFeed({ ...all, ...givenFeed(given, rows, all) }, inputs, where, true);
    },
  };
}

/** A batch that the model fixes is filled later: a sample is one row. */
function oneRow(i: ValueInfo, inputs: readonly ValueInfo[], roles: Roles): ValueInfo {
  const batch = inputs.find((x) => roles.get(x.name) === 'tokens')?.shape?.[0];
  return typeof batch === 'number' && batch > 1 && i.shape?.[0] === batch
    ? { ...i, shape: [1, ...i.shape.slice(1)] }
    : i;
}

function idAt(ids: ArrayLike<number>, at: number, padId: number, below: number | undefined, where: Where): number {
  const id = at < ids.length ? ids[at]! : padId;
  if (below !== undefined && id >= below)
    fail(
      'DATA_SHAPE',
      `token ${id} of ${where.sample ?? 'a sample'} is beyond the vocabulary of the model, which has ${below}`,
      where,
      'the tokenizer is that of another model',
    );
  return id;
}

function assertFed(kind: string, inputs: readonly ValueInfo[], roles: Roles, given: Given): void {
  for (const name of Object.keys(given)) {
    if (inputs.some((i) => i.name === name)) continue;
    const names = inputs.map((i) => i.name);
    const near = nearest(name, names);
    fail(
      'DATA_SHAPE',
      `data.inputs gives '${name}', which is no input of the model.${near ? ` Did you mean '${near}'?` : ''}`,
      { tensor: name },
      `inputs: ${names.join(', ')}`,
    );
  }
  const unknown = inputs.find((i) => !roles.has(i.name) && !Object.hasOwn(given, i.name));
  if (unknown)
    fail(
      'DATA_SHAPE',
      `${kind} cannot feed input '${unknown.name}'; it gives token ids (input_ids) and what follows from them: masks, ` +
        'positions, an empty past, what an encoder gives',
      { tensor: unknown.name },
      `give it by hand, such as inputs: { ${unknown.name}: 0 } in the data block, or use module`,
    );
  const states = inputs.find((i) => {
    const role = roles.get(i.name);
    return (
      (role === 'embeddings' || role === 'past-crossed') &&
      !Object.hasOwn(given, i.name) &&
      (role === 'embeddings' || needsPast(roles))
    );
  });
  if (states)
    fail(
      'DATA_SHAPE',
      `${kind} cannot make '${states.name}': it is what another part of the model computes`,
      { tensor: states.name },
      'take the model that starts from tokens (decoder_model.onnx or decoder_model_merged.onnx), or use module',
    );
}

/** Inputs by hand: a number fills the tensor; `shape` says another one than follows from the tokens. */
function givenFeed(given: Given, inputs: readonly ValueInfo[], known: Feed): Feed {
  return Object.fromEntries(
    Object.entries(given)
      .map(([name, value]): [string, FeedTensor] => {
        const input = inputs.find((i) => i.name === name);
        const { fill, shape } = typeof value === 'object' ? value : { fill: value, shape: undefined };
        const declared = input?.shape?.map((d, axis) => (typeof d === 'number' ? d : axis ? undefined : 1));
        const dims = shape ?? known[name]?.dims ?? declared;
        if (!dims?.every((d) => d !== undefined))
          return fail(
            'DATA_SHAPE',
            `data.inputs gives '${name}' without a shape, which the model leaves open`,
            { tensor: name },
            `${name}: { shape: [1, 8], fill: ${Number(fill)} }`,
          );
        const data = arrayOf(
          'float64',
          dims.reduce((n, d) => n * d, 1),
        );
        const whole = data instanceof Float64Array ? data.fill(Number(fill)) : new Float64Array(0);
        return [name, { dtype: 'float64', dims, data: whole }];
      })
      .map(([name, t]) => [name, cast(t, inputs.find((i) => i.name === name)?.dtype)]),
  );
}

/** Numbers of a recipe in the type of an input. */
function cast(t: FeedTensor, dtype: ValueInfo['dtype']): FeedTensor {
  const to = dtype ?? t.dtype;
  const out = arrayOf(to, t.data.length);
  if (!out || to === 'float16') return t; // fitting converts floats
  for (let i = 0; i < out.length; i++) {
    const value = Number(t.data[i]);
    if (out instanceof BigInt64Array || out instanceof BigUint64Array) out[i] = BigInt(Math.trunc(value));
    else out[i] = value;
  }
  return { ...t, dtype: to, data: out };
}

/** Labels of a window whose first tokens are only context, [tokens]: −100 there. */
export function windowTarget(ids: ArrayLike<number>, context: number, length: number): Target | undefined {
  if (!context) return undefined;
  const n = Math.max(length, ids.length);
  const data = BigInt64Array.from({ length: n }, (_, i) =>
    BigInt(i < context || i >= ids.length ? IGNORED : (ids[i] ?? IGNORED)),
  );
  return { tensors: { labels: { dtype: 'int64', dims: [n], data } } };
}
/** The label that losses leave out, as in PyTorch. */
const IGNORED = -100;
