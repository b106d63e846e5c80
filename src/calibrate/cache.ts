/** Statistics on disk: finished ones for other observers to reuse, and checkpoints to resume from. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { fail, type Diagnostic } from '../base/errors.js';
import { reason, writeFileAtomic } from '../base/files.js';

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

const MAGIC = Buffer.from('QBSTATS1');
const DIGEST_BYTES = 32;

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
      let bytes: Buffer;
      try {
        bytes = fs.readFileSync(file);
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT'))
          report({
            severity: 'warning',
            code: 'CALIBRATION_CACHE',
            message: `cannot read cached statistics: ${reason(error)}`,
            where: { file },
          });
        return undefined;
      }
      try {
        return decode(bytes, key);
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
    save(saved) {
      try {
        fs.mkdirSync(dir, { recursive: true });
      } catch (error) {
        fail('OUTPUT_WRITE', `cannot make the folder '${dir}': ${reason(error)}`, { file: dir });
      }
      writeFileAtomic(file, encode(saved, key));
    },
  };
}

/** Magic, SHA-256 of the rest, length of the header, header as JSON, statistics one after the other. */
function encode({ entries, ...rest }: Saved, key: string): Uint8Array[] {
  const json = Buffer.from(
    JSON.stringify({
      key,
      ...rest,
      entries: [...entries].map(([id, bytes]) => ({ id, bytes: bytes.length })),
    } satisfies Header),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  const body = [length, json, ...entries.values()];
  const digest = createHash('sha256');
  for (const part of body) digest.update(part);
  return [MAGIC, digest.digest(), ...body];
}

function decode(bytes: Buffer, key: string): Saved {
  const body = bytes.subarray(MAGIC.length + DIGEST_BYTES);
  const whole =
    bytes.subarray(0, MAGIC.length).equals(MAGIC) &&
    createHash('sha256')
      .update(body)
      .digest()
      .equals(bytes.subarray(MAGIC.length, MAGIC.length + DIGEST_BYTES));
  if (!whole || body.length < 4) throw new Error('the file is damaged');
  const start = 4 + body.readUInt32LE(0);
  const { key: theirs, entries, ...rest } = header.parse(JSON.parse(body.toString('utf8', 4, start)));
  if (theirs !== key) throw new Error('the file belongs to other data or another model');
  const found = new Map<string, Uint8Array>();
  let at = start;
  for (const { id, bytes: size } of entries) {
    found.set(id, body.subarray(at, at + size));
    at += size;
  }
  if (at !== body.length) throw new Error('the file is damaged');
  return { ...rest, entries: found };
}
