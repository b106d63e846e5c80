/** Tensors that a pass over the samples has computed, for the next: in memory, and in a file where they are many. */
import { createHash, type Hash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { fail } from '../base/errors.js';
import { reason, writeAll } from '../base/files.js';
import { keptTensor, readTensor } from '../data/kept-tensors.js';
import { feedBytes, type Feed, type FeedTensor } from '../ir/feed.js';
import { toTensor } from '../runtime/open.js';

/** Where each tensor of each feed lies in a file: one behind the other. */
export const keptIndex = z.strictObject({
  file: z.string(),
  sha256: z.string(),
  feeds: z.array(z.array(keptTensor.extend({ name: z.string() }))),
});
export type KeptIndex = z.output<typeof keptIndex>;

export interface KeptFeeds {
  feeds(): Iterable<Feed>;
  /** Removes the file, where there is one. */
  close(): void;
  /** Where they are, in a file. */
  readonly index?: KeptIndex;
}

/** Where feeds are kept that take more than `most` bytes: a file of this folder. */
export interface KeepIn {
  readonly most: number;
  readonly folder: () => string;
  /** Set where a folder without room is no reason to stop: nothing is kept then. */
  readonly optional?: true;
}

interface OpenFile {
  readonly path: string;
  readonly fd: number;
  readonly hash: Hash;
}

/** Takes feeds in; `finish` gives them back, `abandon` forgets them. */
export class FeedKeeper {
  readonly #in: KeepIn;
  readonly #name: string;
  #held: Feed[] = [];
  #bytes = 0;
  #lost = false;
  #file: OpenFile | undefined;
  readonly #index: KeptIndex['feeds'] = [];

  /** `name`: of the file. */
  constructor(where: KeepIn, name: string) {
    this.#in = where;
    this.#name = name;
  }

  /** Throws OUTPUT_WRITE unless it is optional. */
  add(feed: Feed): void {
    if (this.#lost) return;
    this.#bytes += feedBytes(feed);
    if (!this.#file && this.#bytes <= this.#in.most) {
      this.#held.push(feed);
      return;
    }
    try {
      for (const own of [...this.#held, feed]) this.#write(own);
    } catch (error) {
      if (!this.#in.optional) throw error;
      this.abandon();
      this.#lost = true;
    }
    this.#held = [];
  }

  /** Undefined where there was no room. */
  finish(): KeptFeeds | undefined {
    if (this.#lost) return undefined;
    const held = this.#held;
    if (!this.#file) return { feeds: () => held, close: () => undefined };
    const { path: file, fd, hash } = this.#file;
    this.#file = undefined;
    guarded(file, () => {
      fs.fsyncSync(fd);
      fs.closeSync(fd);
    });
    return feedsIn({ file, sha256: hash.digest('hex'), feeds: this.#index });
  }

  abandon(): void {
    if (!this.#file) return;
    fs.closeSync(this.#file.fd);
    fs.rmSync(this.#file.path, { force: true });
    this.#file = undefined;
  }

  #write(feed: Feed): void {
    const own = (this.#file ??= this.#open());
    this.#index.push(
      Object.entries(feed).map(([name, t]) => {
        const bytes = toTensor(t).bytes();
        own.hash.update(bytes);
        guarded(own.path, () => {
          writeAll(own.fd, bytes);
        });
        return { name, dtype: t.dtype, dims: [...t.dims] };
      }),
    );
  }
  #open(): OpenFile {
    const file = path.join(this.#in.folder(), this.#name);
    return guarded(file, () => {
      fs.mkdirSync(path.dirname(file), { recursive: true });
      return { path: file, fd: fs.openSync(file, 'w'), hash: createHash('sha256') };
    });
  }
}

/** Feeds of a file, read one at a time. Throws OUTPUT_WRITE where it can no longer be read. */
export function feedsIn(index: KeptIndex): KeptFeeds {
  const { file } = index;
  return {
    index,
    *feeds() {
      const fd = guarded(file, () => fs.openSync(file, 'r'));
      try {
        let at = 0;
        for (const tensors of index.feeds) {
          const feed: Record<string, FeedTensor> = {};
          for (const { name, ...kept } of tensors) {
            const tensor = guarded(file, () => readTensor(fd, at, kept));
            at += tensor.data.byteLength;
            feed[name] = tensor;
          }
          yield feed;
        }
      } finally {
        fs.closeSync(fd);
      }
    },
    close: () => {
      fs.rmSync(file, { force: true });
    },
  };
}

function guarded<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    return fail(
      'OUTPUT_WRITE',
      `'${file}', which keeps what layers are given, fails: ${reason(error)}`,
      { file },
      'make room, or set TMPDIR or quantize.weights.checkpoint to a folder with room',
      error,
    );
  }
}
