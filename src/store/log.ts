/**
 * The log of a store: JSON Lines, only ever appended to, one line a change. Each line holds its own SHA-256 and that of
 * the line before, so that nothing can be changed or dropped inside without being seen. A line counts once its line
 * feed is written: a torn last line is what a killed writer left, is ignored by readers and cut off by the next writer.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { fail } from '../base/errors.js';
import { reason, syncDirectory, writeAll } from '../base/files.js';
import { gateSpec } from '../record/gate.js';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const versionNumber = z.number().int().min(1);
export const STAGES = ['candidate', 'canary', 'production'] as const;
const stage = z.enum(STAGES);

const versionFileSpec = z.object({ path: z.string(), bytes: z.number().int().min(0), sha256 });
export type VersionFile = Readonly<z.output<typeof versionFileSpec>>;

export const changeSpec = z.discriminatedUnion('op', [
  z.object({
    op: z.literal('add'),
    name: z.string(),
    version: versionNumber,
    source: z.string().describe('Name of the recipe, or of the model file.'),
    files: z.array(versionFileSpec),
    record: sha256.optional().describe('The run.json.'),
    gate: gateSpec.optional(),
  }),
  z.object({
    op: z.literal('promote'),
    name: z.string(),
    version: versionNumber,
    from: z.enum([...STAGES, 'retired']),
    to: stage,
    forced: z.boolean().describe('Whether a rule was overridden.'),
    gate: gateSpec.optional(),
  }),
  z.object({ op: z.literal('rollback'), name: z.string(), from: versionNumber, to: versionNumber }),
]);
export type Change = z.output<typeof changeSpec>;

const entrySpec = z.object({
  store: z.literal(1),
  seq: z.number().int().min(1),
  at: z.string(),
  previous: z.union([sha256, z.literal('')]),
  change: changeSpec,
});
export type Entry = Readonly<z.output<typeof entrySpec>>;

export interface Log {
  readonly entries: readonly Entry[];
  /** SHA-256 of the last line; '' where there is none. */
  readonly last: string;
  /** Bytes of whole lines, and of the torn one behind them. */
  readonly bytes: number;
  readonly torn: number;
}

export const logFile = (dir: string): string => path.join(dir, 'log.jsonl');

/** The log of a store, empty where it has none yet. Throws STORE_DAMAGED naming the line. */
export function readLog(dir: string): Log {
  const file = logFile(dir);
  let data: Buffer;
  try {
    data = fs.readFileSync(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return { entries: [], last: '', bytes: 0, torn: 0 };
    return fail('STORE_UNKNOWN', `cannot read '${file}': ${reason(error)}`, { file }, undefined, error);
  }
  const bytes = data.lastIndexOf(0x0a) + 1;
  const entries: Entry[] = [];
  let last = '';
  if (bytes)
    data
      .subarray(0, bytes - 1)
      .toString('utf8')
      .split('\n')
      .forEach((text, i) => {
        const damaged = (why: string): never =>
          fail(
            'STORE_DAMAGED',
            `line ${i + 1} of '${file}' ${why}`,
            { file, line: i + 1 },
            'restore the log from a backup; the stored files are not touched',
          );
        const [, check, rest] = /^\{"check":"([0-9a-f]{64})",(.*)$/s.exec(text) ?? [];
        if (check === undefined || rest === undefined || hash(`{${rest}`) !== check)
          return damaged('is not what was written: its checksum differs');
        const parsed = entrySpec.safeParse(JSON.parse(`{${rest}`));
        if (!parsed.success)
          return damaged(
            `is of another version of quantbench: ${parsed.error.issues[0]?.path.join('.') ?? ''} ` +
              `${parsed.error.issues[0]?.message ?? ''}`,
          );
        if (parsed.data.previous !== last || parsed.data.seq !== i + 1)
          return damaged('does not follow the line before it');
        entries.push(parsed.data);
        last = check;
      });
  return { entries, last, bytes, torn: data.length - bytes };
}

/**
 * Appends a change to the log that was just read, under the lock. A failed write is cut off again. Throws OUTPUT_WRITE.
 */
export function appendLog(dir: string, log: Log, change: Change): Entry {
  const file = logFile(dir);
  const entry: Entry = {
    store: 1,
    seq: log.entries.length + 1,
    at: new Date().toISOString(),
    previous: log.last,
    change,
  };
  const body = JSON.stringify(entry);
  const line = new TextEncoder().encode(`{"check":"${hash(body)}",${body.slice(1)}\n`);
  let fd: number | undefined;
  try {
    fd = fs.openSync(file, fs.constants.O_CREAT | fs.constants.O_RDWR, 0o644);
    if (log.torn) fs.ftruncateSync(fd, log.bytes);
    try {
      writeAll(fd, line, log.bytes);
    } catch (error) {
      fs.ftruncateSync(fd, log.bytes);
      throw error;
    }
    fs.fsyncSync(fd);
  } catch (error) {
    return fail('OUTPUT_WRITE', `cannot write '${file}': ${reason(error)}`, { file }, 'the store is as it was', error);
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
  if (!log.entries.length) syncDirectory(dir);
  return entry;
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
