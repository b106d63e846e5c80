/** onnxruntime sessions: the only user of onnxruntime-node. */
import { item } from '../base/lists.js';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import type * as Ort from 'onnxruntime-node';
import { fail } from '../base/errors.js';
import type { Feed, FeedTensor, ValueInfo } from '../ir/feed.js';
import { emptyOf } from './empty.js';

export interface SessionOptions {
  /** Threads inside an op; default 1, so that results and timings do not depend on the machine. */
  readonly threads?: number;
  /**
   * Whether threads wait for work by spinning, as onnxruntime does by default. Sessions that take turns steal each
   * other's time that way: false is up to six times faster there.
   */
  readonly spinning?: boolean;
  readonly optimization?: 'all' | 'extended' | 'basic' | 'disabled';
  /**
   * Whether memory is planned from the shapes of the first run, as onnxruntime does by default. false takes up to half
   * less where many results are kept for long, as in training.
   */
  readonly memoryPattern?: boolean;
  /** Writes the graph as onnxruntime optimized it. */
  readonly saveOptimizedTo?: string;
  /** Prefix of the file that {@link Session.endProfiling} writes, with the time of every kernel of every run. */
  readonly profileTo?: string;
  /** Further session options by their onnxruntime keys, such as `session.qdqisint8allowed`. */
  readonly config?: Readonly<Record<string, string>>;
  /** External data by location, for a model given as bytes. */
  readonly buffers?: ReadonlyMap<string, Uint8Array>;
  /** What to call the model in errors. */
  readonly label?: string;
}

/** The runtime's version, as its package says. */
export const runtimeVersion = (): string =>
  // package.json always has a version
  (createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string }).version;

let loaded: typeof Ort | undefined;
/** onnxruntime-node is loaded on first use: it is a large native library that `--help` must not wait for. */
async function ort(): Promise<typeof Ort> {
  if (!loaded) {
    try {
      // CommonJS under ESM: the exports may sit under `default`
      const module = (await import('onnxruntime-node')) as unknown as { default?: typeof Ort } & typeof Ort;
      loaded = module.default ?? module;
    } catch (cause) {
      fail(
        'MODEL_RUNTIME',
        `onnxruntime-node could not be loaded: ${message(cause)}`,
        {},
        'run `npm install` again with onnxruntime-node-install=skip in .npmrc; `quantize doctor` tells more',
        cause,
      );
    }
    loaded.env.logLevel = 'fatal'; // errors reach us as exceptions; the native log would print them a second time
  }
  return loaded;
}

/** A model that runs somewhere: in onnxruntime here, or in the runtime that it ships to. */
export interface Runnable {
  readonly inputs: readonly ValueInfo[];
  /** Sequences and maps have no dtype. */
  readonly outputs: readonly ValueInfo[];
  run(feed: Feed, fetches?: readonly string[]): Promise<Readonly<Record<string, FeedTensor>>>;
}

/** Pairs are computed as they stand. Else onnxruntime quantizes float weights between pairs too, to 8 bits a tensor. */
export const PAIRS_AS_GIVEN = { 'session.disable_quant_qdq': '1' } as const;
/** Codes of quantized models computed as they are meant, in float: no kernel of this CPU rounds or saturates them. */
export const EXACT: SessionOptions = { optimization: 'basic', config: PAIRS_AS_GIVEN };

/**
 * A model loaded in onnxruntime on the CPU. `run` blocks its thread. Close it: native memory is not garbage-collected
 * soon.
 */
export class Session implements Runnable {
  readonly inputs: readonly ValueInfo[];
  /** Sequences and maps have no dtype. */
  readonly outputs: readonly ValueInfo[];
  readonly #session: Ort.InferenceSession;
  readonly #ort: typeof Ort;
  readonly #label: string;
  readonly #tensors: readonly string[];
  #open = true;

  private constructor(session: Ort.InferenceSession, module: typeof Ort, name: string) {
    this.#session = session;
    this.#ort = module;
    this.#label = name;
    this.inputs = session.inputMetadata.map(info);
    this.outputs = session.outputMetadata.map(info);
    this.#tensors = session.outputMetadata.filter((o) => o.isTensor).map((o) => o.name);
  }

  /**
   * Loads a model from a file (needed for external data) or from bytes. Throws MODEL_MISSING, and MODEL_RUNTIME with
   * the runtime's own words.
   */
  static async open(source: string | Uint8Array, options: SessionOptions = {}): Promise<Session> {
    if (typeof source === 'string' && !existsSync(source))
      fail('MODEL_MISSING', `cannot read model '${source}': no such file or directory`, { file: source });
    const module = await ort();
    const name = options.label ?? (typeof source === 'string' ? source : 'model');
    const settings: Ort.InferenceSession.SessionOptions = {
      executionProviders: ['cpu'],
      graphOptimizationLevel: options.optimization ?? 'all',
      intraOpNumThreads: options.threads ?? 1,
      interOpNumThreads: 1,
      logSeverityLevel: 4,
      ...(options.memoryPattern === undefined ? {} : { enableMemPattern: options.memoryPattern }),
      ...(options.saveOptimizedTo ? { optimizedModelFilePath: options.saveOptimizedTo } : {}),
      ...(options.profileTo ? { enableProfiling: true, profileFilePrefix: options.profileTo } : {}),
      ...(options.config || options.spinning === false
        ? {
            extra: {
              ...options.config,
              ...(options.spinning === false ? { 'session.intra_op.allow_spinning': '0' } : {}),
            },
          }
        : {}),
      ...(options.buffers?.size
        ? { externalData: [...options.buffers].map(([location, data]) => ({ path: location, data })) }
        : {}),
    };
    try {
      const session =
        typeof source === 'string'
          ? await module.InferenceSession.create(source, settings)
          : await module.InferenceSession.create(source, settings);
      return new Session(session, module, name);
    } catch (cause) {
      return fail(
        'MODEL_RUNTIME',
        `onnxruntime does not load ${name}: ${message(cause)}`,
        { file: name },
        undefined,
        cause,
      );
    }
  }

  /**
   * Runs the model. Without `fetches`, all outputs that are tensors: sequences and maps cannot be read. Throws
   * MODEL_RUNTIME.
   */
  async run(feed: Feed, fetches?: readonly string[]): Promise<Record<string, FeedTensor>> {
    const feeds: Record<string, Ort.Tensor> = {};
    for (const { name, dtype, shape } of this.inputs) {
      const t = feed[name];
      if (!t)
        fail(
          'DATA_SHAPE',
          `the sample has no value for input '${name}'`,
          { tensor: name },
          `inputs: ${this.inputs.map((i) => i.name).join(', ')}`,
        );
      feeds[name] = toOrt(this.#ort, emptyOf(t, dtype, shape));
    }
    if (!fetches && !this.#tensors.length)
      fail(
        'MODEL_UNSUPPORTED',
        `no output of ${this.#label} is a tensor`,
        { file: this.#label },
        'export it so that it gives tensors, such as with zipmap=False',
      );
    let results: Ort.InferenceSession.OnnxValueMapType;
    try {
      results = await this.#session.run(feeds, fetches ?? this.#tensors);
    } catch (cause) {
      return fail(
        'MODEL_RUNTIME',
        `onnxruntime failed to run ${this.#label}: ${message(cause)}`,
        { file: this.#label },
        undefined,
        cause,
      );
    }
    const out: Record<string, FeedTensor> = {};
    // Asking for anything but tensors is refused by the runtime, and its type names are ours.
    for (const [name, { type, dims, data }] of Object.entries(results)) out[name] = { dtype: type, dims, data };
    return out;
  }

  /** Writes the profile of a session that was opened with `profileTo`. */
  endProfiling(): void {
    this.#session.endProfiling();
  }

  /** Frees the native session. Safe to call twice. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#session.release();
  }
}

const message = (e: unknown): string => item((e instanceof Error ? e.message : String(e)).split('\n'), 0).slice(0, 600);

function info(m: Ort.InferenceSession.ValueMetadata): ValueInfo {
  if (!m.isTensor) return { name: m.name, dtype: undefined, shape: undefined };
  return {
    name: m.name,
    dtype: m.type,
    shape: m.shape.map((d) => (d === '' || (typeof d === 'number' && d < 0) ? null : d)),
  };
}

function toOrt(module: typeof Ort, t: FeedTensor): Ort.Tensor {
  // The constructor's overloads tie each type name to its array; FeedTensor made sure of the pair.
  const make = module.Tensor as unknown as new (type: string, data: unknown, dims: readonly number[]) => Ort.Tensor;
  return new make(t.dtype, t.data, t.dims);
}
