/** A model in a runtime of its own process, which is asked by lines of JSON: see targets/shared/adapter.py. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import { byteLength, type DType } from '../ir/dtype.js';
import type { Feed, FeedTensor, TypedArray, ValueInfo } from '../ir/feed.js';
import type { Runnable } from './session.js';

export interface ForeignOptions {
  /** A Python with the packages of the runtime. */
  readonly python: string;
  /** The program that answers, and what it loads for this runtime. */
  readonly program: string;
  readonly adapter: string;
  readonly threads: number;
  /** Of the float model: names that outputs are called by, in their order. */
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** What to call the runtime in errors, and the packages that it needs. */
  readonly name: string;
  readonly packages: readonly string[];
  readonly signal?: AbortSignal | undefined;
}
const opened = z.object({ version: z.string(), batch: z.number().int().positive().nullable() });
const tensors = z.object({
  outputs: z.array(z.object({ file: z.string(), dtype: z.string(), dims: z.array(z.number().int().min(0)).max(64) })),
});
const evidence = z.object({ how: z.string(), integer: z.array(z.string()), floats: z.array(z.string()) });
export type Evidence = z.output<typeof evidence>;
const times = z.object({ rounds: z.array(z.array(z.array(z.number()))) });
const failed = z.object({ error: z.string(), missing: z.string().nullable() });

/** Loading may compile for minutes. */
const PATIENCE_MS = 600_000;
/** Of one tensor. */
const MOST_BYTES = 4e9;

/** The process of a runtime. Close it. */
export class Foreign {
  readonly #o: ForeignOptions;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #folder = mkdtempSync(path.join(os.tmpdir(), 'quantbench-verify-'));
  #stderr = '';
  #ended: string | undefined;
  version = '';

  constructor(o: ForeignOptions) {
    this.#o = o;
    this.#child = spawn(o.python, [o.program, o.adapter], { stdio: ['pipe', 'pipe', 'pipe'], signal: o.signal });
    this.#child.on('error', (e) => {
      this.#ended = e.message;
    });
    this.#child.stdin?.on('error', () => undefined); // the answer that never comes tells
    this.#child.stderr?.on('data', (d: Buffer) => {
      this.#stderr = (this.#stderr + d.toString()).slice(-2000);
    });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator](); // a pipe
  }

  /** Loads a model. Throws VERIFY_RUNTIME with the runtime's own words, or where its packages are not there. */
  async open(model: 'quantized' | 'float', file: string): Promise<Runnable & { readonly batch: number | undefined }> {
    const { threads, inputs, outputs } = this.#o;
    const { version, batch } = await this.#ask({ do: 'open', model, path: path.resolve(file), threads }, opened);
    this.version = version;
    const run = async (feed: Feed): Promise<Record<string, FeedTensor>> => {
      const files = path.join(this.#folder, `${model}-out-`);
      const asked = { do: 'run', model, inputs: this.#written(feed), files };
      const made = (await this.#ask(asked, tensors)).outputs.map((t) => this.#read(t));
      if (made.length < outputs.length)
        fail('VERIFY_RUNTIME', `${this.#o.name} gives ${made.length} outputs, and the model has ${outputs.length}`);
      return Object.fromEntries(outputs.map((o, i) => [o.name, item(made, i)]));
    };
    return { inputs, outputs, run, batch: batch ?? undefined };
  }
  /** Which layers compute in integers, and what shows it. */
  evidence = (feed: Feed): Promise<Evidence> => this.#ask({ do: 'evidence', inputs: this.#written(feed) }, evidence);
  /** Milliseconds by model, round and run. */
  async time(
    models: readonly ('quantized' | 'float')[],
    feed: Feed,
    o: { readonly rounds: number; readonly runs: number; readonly warmup: number },
  ): Promise<Float64Array[][]> {
    const { rounds } = await this.#ask({ do: 'time', models, inputs: this.#written(feed), ...o }, times);
    return rounds.map((list) => list.map((run) => Float64Array.from(run)));
  }
  close(): void {
    this.#child.stdin?.end();
    this.#child.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #ask<T extends z.ZodType>(asked: object, spec: T): Promise<z.output<T>> {
    const { name, packages, python } = this.#o;
    this.#child.stdin?.write(`${JSON.stringify(asked)}\n`);
    const timer = setTimeout(() => this.#child.kill(), PATIENCE_MS);
    const line = await this.#lines.next().finally(() => {
      clearTimeout(timer);
    });
    this.#o.signal?.throwIfAborted();
    if (line.done) {
      const why = this.#ended ?? (this.#stderr.trim().split('\n').at(-1) || 'its process ended');
      return fail(
        'VERIFY_RUNTIME',
        `${name} does not answer: ${why}`,
        {},
        `${python} runs it, with ${packages.join(', ')}`,
      );
    }
    const answer: unknown = JSON.parse(line.value);
    const error = failed.safeParse(answer);
    if (error.success)
      return fail(
        'VERIFY_RUNTIME',
        `${name}: ${error.data.error}`,
        {},
        error.data.missing === null
          ? undefined
          : `'${error.data.missing}' is not installed there: ${python} -m pip install ${packages.join(' ')}`,
      );
    return spec.parse(answer);
  }

  #written(feed: Feed): object[] {
    return this.#o.inputs.map(({ name }, i) => {
      const t = feed[name] ?? fail('DATA_SHAPE', `the sample has no value for input '${name}'`, { tensor: name });
      if (!ArrayBuffer.isView(t.data)) return fail('MODEL_UNSUPPORTED', `input '${name}' is of text`, { tensor: name });
      const file = path.join(this.#folder, `in-${i}`);
      writeFileSync(file, new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength));
      return { name, dtype: t.dtype, dims: t.dims, file };
    });
  }
  #read({ file, dtype, dims }: z.output<typeof tensors>['outputs'][number]): FeedTensor {
    const type = ARRAYS[dtype];
    const size = dims.reduce((n, d) => n * d, 1);
    if (!type || path.dirname(file) !== this.#folder || size * 8 > MOST_BYTES)
      return fail('VERIFY_RUNTIME', `${this.#o.name} gives ${dtype} [${dims.join(', ')}], which is not read`);
    const bytes = readFileSync(file);
    if (bytes.length !== byteLength(dtype as DType, size))
      fail('VERIFY_RUNTIME', `${this.#o.name} gives ${bytes.length} bytes for ${dtype} [${dims.join(', ')}]`);
    const data = new type(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    return { dtype: dtype as DType, dims, data }; // a name of the table
  }
}

const ARRAYS: Readonly<Record<string, new (b: ArrayBuffer) => TypedArray>> = {
  float32: Float32Array,
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
};
