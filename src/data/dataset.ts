import { fail, QuantError } from '../base/errors.js';
import type { Sample, ValueInfo } from '../ir/feed.js';
import { inSplit, orderOf, type Order } from './order.js';
import type { DataContext, ListedSource, Loaded, OpenSource, StreamedSource, Vocabulary } from './source.js';
import { openAnnotatedImages } from './sources/annotated-images.js';
import { openImageList } from './sources/image-list.js';
import { openImages } from './sources/images.js';
import { openModule } from './sources/module.js';
import { openNpy } from './sources/npy.js';
import { openNpz } from './sources/npz.js';
import { openRaw } from './sources/raw.js';
import { openTestData } from './sources/test-data.js';
import { openSynthetic } from './sources/synthetic.js';
import { openText } from './sources/text.js';
import { openTokens } from './sources/tokens.js';
import { openWebdataset } from './sources/webdataset.js';
import { sourceKind, type DataSpec, type SourceKind } from './spec.js';

export interface Dataset {
  /**
   * Samples after the split, or undefined where only reading tells (module). Bad samples that are skipped later are
   * still counted.
   */
  readonly count: number | undefined;
  /** The resolved source, order, split, classes and preprocessing, as plain JSON for the run record. */
  readonly describe: Readonly<Record<string, unknown>>;
  readonly classes: readonly string[] | undefined;
  /** Whether `classes` are nothing but the sorted names of folders. */
  readonly guessedClasses: boolean;
  /** Fill values for `batches`, where the spec lets unequal lengths be padded. */
  readonly padding: Readonly<Record<string, number>> | undefined;
  /** Of data that have a tokenizer. */
  readonly vocabulary?: Vocabulary | undefined;
  /** A fresh pass over the samples; always the same order. `limit` counts samples that were read well. */
  samples(options?: { readonly limit?: number; readonly signal?: AbortSignal }): AsyncIterable<Sample>;
  /**
   * Looks at all samples by what costs little, for at most `ms`, and throws what reading the first bad one throws.
   * Nothing where bad samples are left out.
   */
  lookThrough(options: { readonly limit?: number; readonly ms: number; readonly signal?: AbortSignal }): Promise<void>;
  /**
   * Ids and content hashes of what samples() will give, without decoding where the source can. Samples that prove bad
   * later are among them.
   */
  identities(options?: {
    readonly limit?: number;
    readonly signal?: AbortSignal;
  }): AsyncIterable<{ readonly id: string; readonly hash: string }>;
}

/** Samples that are read ahead while earlier ones are used. More gains nothing on the 4 threads of libuv. */
const READ_AHEAD = 4;

const OPEN = {
  images: (spec, ...rest) => (spec.annotations === undefined ? openImages : openAnnotatedImages)(spec, ...rest),
  imageList: openImageList,
  npy: openNpy,
  npz: openNpz,
  raw: openRaw,
  testData: openTestData,
  webdataset: openWebdataset,
  text: openText,
  tokens: openTokens,
  synthetic: openSynthetic,
  module: openModule,
} as const satisfies Record<SourceKind, OpenSource>;

/**
 * Opens the data of a checked spec for a model with these inputs. Reads listings and headers, not samples.
 * Throws DATA_MISSING, DATA_FORMAT, DATA_LABEL, DATA_SHAPE, DATA_UNSAFE or DATA_MODULE; reading a sample may also throw
 * DATA_IMAGE.
 */
export async function openDataset(
  spec: DataSpec,
  inputs: readonly ValueInfo[],
  context: DataContext,
): Promise<Dataset> {
  const kind = sourceKind(spec);
  const source = await OPEN[kind](spec, inputs, context);
  const bad = badSamplePolicy(spec, context);
  const common = { source: kind, path: spec[kind], split: spec.split ?? null, onBadSample: spec.onBadSample };
  if (source.kind === 'streamed') {
    if (spec.order !== undefined && spec.order !== 'listed')
      fail(
        'DATA_MODULE',
        `order ${spec.order} needs a source that can be listed, but ${kind} only yields one sample after the other`,
        {},
        'leave order out, and shuffle in the module',
      );
    return {
      count: undefined,
      classes: undefined,
      guessedClasses: false,
      padding: undefined,
      describe: { ...common, order: 'listed', count: null, ...source.details },
      samples: (options = {}) => readStream(source, spec, bad, options),
      lookThrough: () => Promise.resolve(), // such a source only yields one sample after the other
      identities: (options = {}) => readStream(source, spec, bad, options),
    };
  }
  const order: Order =
    spec.order ?? (source.group ? 'interleaved' : kind === 'testData' || kind === 'synthetic' ? 'listed' : 'shuffled');
  if (order === 'interleaved' && !source.group)
    fail(
      'DATA_LABEL',
      `order interleaved needs classes that are known before reading, which ${kind} does not have here`,
      {},
      'use order: shuffled',
    );
  const indices = orderOf(source, order, context.seed, spec.split);
  if (!indices.length)
    fail(
      'DATA_MISSING',
      `the ${spec.split?.part ?? ''} part of the split is empty: none of ${source.count} samples`,
      {},
      'change split.fraction or split.seed',
    );
  return {
    count: indices.length,
    classes: source.classes,
    guessedClasses:
      source.classes !== undefined && spec.classes === undefined && kind === 'images' && spec.annotations === undefined,
    padding: source.padding,
    vocabulary: source.vocabulary,
    describe: {
      ...common,
      order,
      ...(order === 'shuffled' ? { seed: context.seed } : {}),
      count: indices.length,
      classes: source.classes ?? null,
      ...source.details,
    },
    samples: (options = {}) => readListed(source, indices, bad, options),
    lookThrough: async (options) => {
      if (spec.onBadSample !== 'skip') await lookThrough(source, indices, options);
    },
    identities: (options = {}) =>
      source.hash ? identifyListed(source, source.hash, indices, options) : readListed(source, indices, bad, options),
  };
}

interface ReadOptions {
  readonly limit?: number;
  readonly signal?: AbortSignal;
}
/** Reports and swallows a bad sample, or throws. */
type OnBad = (error: unknown, id: string) => void;
type Settled = { readonly loaded: Loaded } | { readonly error: unknown };

function badSamplePolicy(spec: DataSpec, context: DataContext): OnBad {
  const seen = new Set<string>();
  return (error, id) => {
    const skippable = error instanceof QuantError && error.code.startsWith('DATA_') && error.code !== 'DATA_UNSAFE';
    if (spec.onBadSample !== 'skip' || !skippable) throw error;
    if (seen.has(id)) return;
    seen.add(id);
    context.onDiagnostic?.({
      severity: 'warning',
      code: error.code,
      message: `left out: ${error.message}`,
      where: { ...error.where, sample: id },
    });
  };
}

async function* readListed(
  source: ListedSource,
  indices: Uint32Array,
  onBad: OnBad,
  { limit = Infinity, signal }: ReadOptions,
): AsyncGenerator<Sample> {
  const pending: Promise<Settled>[] = [];
  let next = 0;
  let given = 0;
  let firstError: unknown;
  // Each promise settles to a value, so that one that is never awaited cannot become an unhandled rejection.
  const start = (): void => {
    const index = indices[next++]!;
    pending.push(
      Promise.resolve()
        .then(() => source.load(index))
        .then(
          (loaded) => ({ loaded }),
          (error: unknown) => ({ error }),
        ),
    );
  };
  try {
    for (let at = 0; at < indices.length && given < limit; at++) {
      signal?.throwIfAborted();
      while (next < indices.length && pending.length < Math.min(READ_AHEAD, limit - given)) start();
      const settled = await pending.shift()!;
      const id = source.id(indices[at]!);
      if ('error' in settled) {
        firstError ??= settled.error;
        onBad(settled.error, id);
        continue;
      }
      given++;
      yield { id, ...settled.loaded };
    }
    if (!given && firstError !== undefined) throw firstError;
  } finally {
    await Promise.all(pending);
  }
}

/** Files that are looked at together. */
const LOOKED_AT_ONCE = 16;

async function lookThrough(
  source: ListedSource,
  indices: Uint32Array,
  { limit = Infinity, ms, signal }: { readonly limit?: number; readonly ms: number; readonly signal?: AbortSignal },
): Promise<void> {
  const { seemsFine } = source;
  if (!seemsFine) return;
  const end = performance.now() + ms;
  const wanted = indices.subarray(0, Math.min(limit, indices.length));
  for (let at = 0; at < wanted.length && performance.now() < end; at += LOOKED_AT_ONCE) {
    signal?.throwIfAborted();
    const some = [...wanted.subarray(at, at + LOOKED_AT_ONCE)];
    const fine = await Promise.all(some.map((i) => seemsFine(i).catch(() => false)));
    // reading it says what is wrong, or that nothing is
    for (const [k, i] of some.entries()) if (!fine[k]) await source.load(i);
  }
}

async function* identifyListed(
  source: ListedSource,
  hash: (index: number) => Promise<string>,
  indices: Uint32Array,
  { limit = Infinity, signal }: ReadOptions,
): AsyncGenerator<{ id: string; hash: string }> {
  for (const index of indices.subarray(0, Math.min(limit, indices.length))) {
    signal?.throwIfAborted();
    yield { id: source.id(index), hash: await hash(index) };
  }
}

async function* readStream(
  source: StreamedSource,
  spec: DataSpec,
  onBad: OnBad,
  { limit = Infinity, signal }: ReadOptions,
): AsyncGenerator<Sample> {
  let given = 0;
  let seen = 0;
  let firstError: unknown;
  if (limit <= 0) return;
  for await (const item of source.stream()) {
    signal?.throwIfAborted();
    seen++;
    if (!inSplit(item.id, spec.split)) continue;
    if ('error' in item) {
      firstError ??= item.error;
      onBad(item.error, item.id);
      continue;
    }
    given++;
    yield item;
    if (given >= limit) return;
  }
  if (given) return;
  if (firstError !== undefined) throw firstError;
  fail(
    'DATA_MISSING',
    seen ? `none of ${seen} samples belongs to the ${spec.split?.part ?? ''} part` : 'the module yielded no sample',
    {},
    'check the module and split',
  );
}
