/**
 * Two models of which memory holds one at a time, as if both were open: the float model runs over a piece of the
 * samples, its outputs go to a file, and while the other one runs they are read from there.
 */
import { closeSync, openSync, rmSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fail } from '../base/errors.js';
import { reason, writeAll } from '../base/files.js';
import type { Batch } from '../data/batch.js';
import { readTensor } from '../data/kept-tensors.js';
import { feedBytes, type Feed, type FeedTensor, type ValueInfo } from '../ir/feed.js';
import type { Runnable, Session } from '../runtime/session.js';

/** Most bytes of outputs that lie in the file at a time, and the share of what the disk has left. */
const PIECE_BYTES = 2e9;
const FREE_SHARE = 1 / 4;
/** Of inputs, which stay in memory from one turn to the other. */
const FEED_BYTES = 128e6;

/** A model that is open in its turn. */
class Turn implements Runnable {
  inputs: readonly ValueInfo[] = [];
  outputs: readonly ValueInfo[] = [];
  readonly #start: () => Promise<Session>;
  #session: Session | undefined;
  constructor(start: () => Promise<Session>) {
    this.#start = start;
  }
  async open(): Promise<void> {
    this.#session ??= await this.#start();
    ({ inputs: this.inputs, outputs: this.outputs } = this.#session);
  }
  async close(): Promise<void> {
    await this.#session?.close();
    this.#session = undefined;
  }
  run(feed: Feed, fetches?: readonly string[]): ReturnType<Runnable['run']> {
    return (this.#session ?? fail('INTERNAL', 'bug in quantbench: a model runs out of its turn')).run(feed, fetches);
  }
}

interface Kept extends Omit<FeedTensor, 'data'> {
  readonly at: number;
}

/** Outputs in a file, read in the order in which they were written. */
class Spill {
  readonly #file: string;
  readonly #fd: number;
  /** Runs that were not read yet; texts stay here. */
  #runs: Readonly<Record<string, Kept | FeedTensor>>[] = [];
  bytes = 0;
  constructor(folder: string) {
    this.#file = path.join(folder, '.float-outputs.tmp');
    this.#fd = this.#guard(() => openSync(this.#file, 'w+'));
  }
  /** Bytes that may be written of what the disk has left. */
  room(): number {
    const { bavail, bsize } = this.#guard(() => statfsSync(path.dirname(this.#file)));
    return bavail * bsize * FREE_SHARE;
  }
  put(outputs: Feed): void {
    const kept = Object.entries(outputs).map(([name, t]): [string, Kept | FeedTensor] => {
      const { data } = t;
      if (!ArrayBuffer.isView(data)) return [name, t];
      const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const at = this.bytes;
      this.#guard(() => {
        writeAll(this.#fd, raw, at);
      });
      this.bytes += raw.length;
      return [name, { at, dtype: t.dtype, dims: t.dims }];
    });
    this.#runs.push(Object.fromEntries(kept));
  }
  take(): Record<string, FeedTensor> {
    const run = this.#runs.shift() ?? fail('INTERNAL', 'bug in quantbench: outputs were read that were not written');
    return Object.fromEntries(
      Object.entries(run).map(
        ([name, t]) => [name, 'at' in t ? this.#guard(() => readTensor(this.#fd, t.at, t)) : t] as const,
      ),
    );
  }
  /** For the next piece. */
  clear(): void {
    this.#runs = [];
    this.bytes = 0;
  }
  close(): void {
    closeSync(this.#fd);
    rmSync(this.#file, { force: true });
  }
  #guard<T>(step: () => T): T {
    try {
      return step();
    } catch (cause) {
      if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
      return fail(
        'OUTPUT_WRITE',
        `cannot keep outputs of the float model in '${this.#file}': ${reason(cause)}`,
        { file: this.#file },
        'make room there, or raise memory so that both models are open together',
        cause,
      );
    }
  }
}

export interface Turns {
  /** Gives back what the float model gave in its turn, in that order. */
  readonly float: Runnable;
  readonly other: Runnable;
  /** The batches, each while the other model is open. */
  readonly batches: (all: AsyncIterable<Batch>) => AsyncGenerator<Batch>;
  readonly close: () => Promise<void>;
}

export interface TurnsOptions {
  /** Where outputs are kept. */
  readonly folder: string;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of them at which the other model's turn comes; earlier where the disk is nearly full. */
  readonly most?: number;
}

/**
 * Opens the float model first. Throws what opening throws, OUTPUT_WRITE, and the reason of
 * the signal.
 */
export async function takeTurns(
  start: { readonly float: () => Promise<Session>; readonly other: () => Promise<Session> },
  { folder, signal, most = PIECE_BYTES }: TurnsOptions,
): Promise<Turns> {
  const [float, other] = [new Turn(start.float), new Turn(start.other)];
  await other.open(); // for its outputs; what does not load is told before the long turn
  await other.close();
  const spill = new Spill(folder);
  const close = async (): Promise<void> => {
    spill.close();
    await float.close();
    await other.close();
  };
  try {
    await float.open();
  } catch (error) {
    await close();
    throw error;
  }
  async function* batches(all: AsyncIterable<Batch>): AsyncGenerator<Batch> {
    const source = all[Symbol.asyncIterator]();
    try {
      for (let next = await source.next(); !next.done;) {
        const piece: Batch[] = [];
        await float.open();
        const room = Math.min(most, spill.room());
        let held = 0;
        // one at least: a full disk is told of by what it refuses
        for (; !next.done && (!piece.length || (spill.bytes < room && held < FEED_BYTES)); next = await source.next()) {
          signal?.throwIfAborted();
          for (const feed of next.value.feeds) {
            spill.put(await float.run(feed));
            held += feedBytes(feed);
          }
          piece.push(next.value);
          await nextTurn();
        }
        await float.close();
        await other.open();
        yield* piece;
        await other.close();
        spill.clear();
      }
    } finally {
      await source.return?.();
    }
  }
  const replayed: Runnable = {
    inputs: float.inputs,
    outputs: float.outputs,
    run: () => Promise.resolve(spill.take()),
  };
  return { float: replayed, other, batches, close };
}
