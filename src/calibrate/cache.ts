/** Statistics on disk: finished ones for other observers to reuse, and checkpoints to resume from. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { z } from 'zod';
import type { Diagnostic } from '../base/errors.js';
import { readSealed, writeSealed, type Sealed } from '../base/sealed.js';

const header = z.strictObject({
  key: z.string(),
  complete: z.boolean(),
  batches: z.number().int().min(0),
  samples: z.number().int().min(0),
  /** `batch:position` of samples that are left out. */
  excluded: z.array(z.string()),
  nonFinite: z.array(z.strictObject({ tensor: z.string(), sample: z.string(), nan: z.number(), inf: z.number() })),
  entries: z.array(z.strictObject({ id: z.string(), bytes: z.number().int().min(0) })),
});
type Header = z.infer<typeof header>;

/** What is kept of a calibration: statistics by id (tensor, statistic, settings and axis), and how far it came. */
export interface Saved extends Omit<Header, 'key' | 'entries'> {
  readonly entries: ReadonlyMap<string, Uint8Array>;
}

const MAGIC = 'QBSTATS1';

export interface StatsCache {
  /**
   * What was saved under this cache's key, or undefined. Files that are damaged or of another key are reported and
   * passed over.
   */
  load(): Saved | undefined;
  /** Throws OUTPUT_WRITE. */
  save(saved: Saved): void;
}

/**
 * A cache in `dir` for one key: a hash of everything that the statistics depend on. The folder is made when it is
 * needed.
 */
export function openCache(dir: string, key: string, report: (d: Diagnostic) => void): StatsCache {
  const file = path.join(dir, `${createHash('sha256').update(key).digest('hex').slice(0, 32)}.qbstats`);
  return {
    load() {
      try {
        const sealed = readSealed(file, MAGIC);
        return sealed && decode(sealed, key);
      } catch (error) {
        report({
          severity: 'warning',
          code: 'CALIBRATION_CACHE',
          message: `cached statistics are not used: ${error instanceof Error ? error.message : String(error)}`,
          where: { file },
          hint: 'they are measured again and replaced',
        });
        return undefined;
      }
    },
    save({ entries, ...rest }) {
      const list = [...entries].map(([id, bytes]) => ({ id, bytes: bytes.length }));
      writeSealed(file, MAGIC, { key, ...rest, entries: list } satisfies Header, [...entries.values()]);
    },
  };
}

/** Throws where they are of another key, or damaged. */
function decode({ header: given, body }: Sealed, key: string): Saved {
  const { key: theirs, entries, ...rest } = header.parse(given);
  if (theirs !== key) throw new Error('the file belongs to other data or another model');
  const found = new Map<string, Uint8Array>();
  let at = 0;
  for (const { id, bytes: size } of entries) {
    found.set(id, body.subarray(at, at + size));
    at += size;
  }
  if (at !== body.length) throw new Error('it is damaged');
  return { ...rest, entries: found };
}
