/** Feeds of language models: what follows from a sequence of tokens, in the shapes that the model declares. */
import { fail } from '../../base/errors.js';
import { numberToFloat16 } from '../../ir/convert.js';
import type { Feed, FeedTensor, TypedArray, ValueInfo } from '../../ir/feed.js';
import { arrayOf } from '../feeds.js';
import type { Role, Roles } from './roles.js';

/** Sizes of one run. */
export interface Sizes {
  readonly batch: number;
  /** Tokens of the sequence, padding included. */
  readonly tokens: number;
  /** Tokens before it, of which the cache tells. */
  readonly past: number;
  /** Places of the encoder's output. */
  readonly encoder: number;
}

/** Where the values come from. */
export interface Filling {
  /** The id at a place; `below` is the number of ids, where it is known. */
  readonly token: (input: string, row: number, column: number, below: number | undefined) => number;
  readonly segment: (row: number, column: number) => number;
  /** Tokens of a row that are no padding. */
  readonly length: (row: number) => number;
  /** A number of embeddings, of an encoder's output or of a past that is not empty. */
  readonly real: () => number;
  /** Whether the past holds something: its places count in the mask, and a merged decoder uses it. */
  readonly hasPast: boolean;
}

/** The sizes that are wanted, but for those that the model fixes. */
export function fixedSizes(inputs: readonly ValueInfo[], roles: Roles, wanted: Sizes): Sizes {
  const at = (role: Role, axis: number): number | undefined => {
    for (const i of inputs) {
      const d = roles.get(i.name) === role ? i.shape?.[axis] : undefined;
      if (typeof d === 'number') return d;
    }
    return undefined;
  };
  const tokens = fixedLength(inputs, roles) ?? wanted.tokens;
  const whole = at('mask', 1);
  const past = inputs.find((i) => roles.get(i.name) === 'past');
  const kept = past && sequenceAxis(past);
  const size = kept === undefined ? undefined : past?.shape?.[kept];
  return {
    batch: at('tokens', 0) ?? at('embeddings', 0) ?? wanted.batch,
    tokens,
    past: typeof size === 'number' ? size : whole !== undefined && past ? Math.max(0, whole - tokens) : wanted.past,
    encoder: at('encoder-states', 1) ?? at('encoder-mask', 1) ?? wanted.encoder,
  };
}

/** Whether a model only goes on: the keys and values of its encoder's output come from an earlier run. */
export const needsPast = (roles: Roles): boolean => {
  const all = new Set(roles.values());
  return all.has('past-crossed') && !all.has('encoder-states');
};

/** The number of tokens that the model fixes, if it does. */
export function fixedLength(inputs: readonly ValueInfo[], roles: Roles): number | undefined {
  for (const { name, shape } of inputs) {
    const role = roles.get(name);
    const d = role === 'tokens' || role === 'embeddings' || role === 'segments' ? shape?.[1] : undefined;
    if (typeof d === 'number') return d;
  }
  return undefined;
}

/**
 * The axis of a past that counts its tokens: the one that says so, else the open one behind the batch; of four fixed
 * sizes the third, as in [batch, heads, tokens, size]. Undefined for states of one size.
 */
export function sequenceAxis({ shape }: ValueInfo): number | undefined {
  if (!shape) return undefined;
  const named = shape.findIndex((d, i) => i > 0 && typeof d === 'string' && /past|seq|len|cache|kv|total/i.test(d));
  if (named > 0) return named;
  const open = shape.map((d, axis) => ({ d, axis })).filter(({ d, axis }) => axis > 0 && typeof d !== 'number');
  if (open.length) return open.find(({ axis }) => axis === shape.length - 2)?.axis ?? open.at(-1)?.axis;
  return shape.length === 4 ? 2 : undefined;
}

/**
 * A value for each input that has a role; the others are left to the caller. Throws DATA_SHAPE for types that cannot be
 * fed from JavaScript, and for sizes that neither the model nor the sequence tells.
 */
export function languageFeed(inputs: readonly ValueInfo[], roles: Roles, sizes: Sizes, from: Filling): Feed {
  return Object.fromEntries(
    inputs.flatMap((i): [string, FeedTensor][] => {
      const role = roles.get(i.name);
      return role ? [[i.name, made(i, role, sizes, from)]] : [];
    }),
  );
}

function made(input: ValueInfo, role: Role, s: Sizes, from: Filling): FeedTensor {
  const { name } = input;
  const dims = dimsOf(input, role, s, from.hasPast);
  const columns = dims.at(-1) ?? 1;
  const counted = (from.hasPast ? s.past : 0) + s.tokens;
  switch (role) {
    case 'tokens':
      return whole(input, dims, (k) => from.token(name, Math.floor(k / columns), k % columns, input.below));
    case 'segments':
      return whole(input, dims, (k) => from.segment(Math.floor(k / columns), k % columns));
    case 'mask':
      return whole(input, dims, (k) => {
        const column = (k % columns) - (columns - s.tokens); // below 0: of the past
        return column < 0 ? Number(from.hasPast) : Number(column < from.length(Math.floor(k / columns)));
      });
    case 'positions':
      return whole(input, dims, (k) => {
        const row = Math.floor(k / columns) % s.batch;
        return k % columns < from.length(row) ? counted - s.tokens + (k % columns) : 0;
      });
    case 'places':
      return whole(input, dims, (k) => counted - s.tokens + k);
    case 'branch':
      return whole(input, dims, () => Number(from.hasPast));
    case 'kept':
      return whole(input, dims, () => 0);
    case 'heads':
    case 'encoder-mask':
      return whole(input, dims, () => 1);
    case 'past-length':
      return whole(input, dims, () => counted - s.tokens);
    case 'total-length':
      return whole(input, dims, () => counted);
    case 'last-place':
      return whole(input, dims, () => counted - 1);
    case 'past':
    case 'past-crossed':
      return whole(input, dims, from.hasPast ? from.real : () => 0);
    case 'embeddings':
    case 'encoder-states':
      return whole(input, dims, from.real);
  }
}

function dimsOf(input: ValueInfo, role: Role, s: Sizes, hasPast: boolean): number[] {
  const { name, shape } = input;
  const open = (axis: number): never =>
    fail(
      'DATA_SHAPE',
      `the size of axis ${axis} of '${name}' [${(shape ?? []).map((d) => d ?? '?').join(', ')}] follows neither from ` +
        'the model nor from the tokens',
      { tensor: name },
      `give it by hand, such as data.inputs: { ${name}: { shape: [1, 8, 0, 64], fill: 0 } }`,
    );
  const wanted = (axis: number): number => {
    const rank = shape?.length ?? 2;
    switch (role) {
      case 'tokens':
      case 'segments':
        return axis ? s.tokens : s.batch;
      case 'mask':
        return axis ? s.past + s.tokens : s.batch;
      case 'positions':
        return axis === rank - 1 ? s.tokens : axis === rank - 2 ? s.batch : 3;
      case 'places':
        return s.tokens;
      case 'encoder-mask':
        return axis ? s.encoder : s.batch;
      case 'embeddings':
      case 'encoder-states':
        return axis === 0 ? s.batch : axis === 1 ? (role === 'embeddings' ? s.tokens : s.encoder) : open(axis);
      case 'last-place':
        return axis ? 1 : s.batch;
      case 'past':
      case 'past-crossed': {
        if (axis === sequenceAxis(input)) return role === 'past' ? s.past : hasPast ? s.encoder : 0;
        const d = shape?.[axis];
        return axis === 0 || (typeof d === 'string' && /batch/i.test(d)) ? s.batch : open(axis);
      }
      default:
        return 1;
    }
  };
  const ranked = shape ?? (role === 'tokens' || role === 'mask' || role === 'segments' ? [null, null] : []);
  return ranked.map((d, axis) => (typeof d === 'number' ? d : wanted(axis)));
}

/** Largest input: a file of 200 bytes may declare one of 2^32 elements. */
const MOST_ELEMENTS = 2 ** 27;

function whole(input: ValueInfo, dims: readonly number[], value: (index: number) => number): FeedTensor {
  const dtype = input.dtype ?? 'int64';
  const n = dims.reduce((a, b) => a * b, 1);
  if (n > MOST_ELEMENTS)
    fail('MODEL_LIMIT', `input '${input.name}' of [${dims.join(', ')}] has ${n} elements`, { tensor: input.name });
  const data: TypedArray =
    arrayOf(dtype, n) ??
    fail('DATA_SHAPE', `input '${input.name}' is ${dtype}, which cannot be fed from JavaScript`, {
      tensor: input.name,
    });
  for (let k = 0; k < n; k++) {
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[k] = BigInt(Math.round(value(k)));
    else data[k] = dtype === 'float16' ? numberToFloat16(value(k)) : value(k);
  }
  return { dtype, dims, data };
}
