/** A store of models: versions that never change, the stage of each, and a log of who became what when. */
import fs from 'node:fs';
import path from 'node:path';
import { fail } from '../base/errors.js';
import { reason, writeFileAtomic } from '../base/files.js';
import { readRun } from '../record/read.js';
import type { RunRecord } from '../record/index.js';
import { withLock } from './lock.js';
import { appendLog, logFile, readLog, type Change, type VersionFile } from './log.js';
import { isWhole, listObjects, makeFolder, objectPath, piecesOf, putFile, sweep } from './objects.js';
import { checkName, findName, findVersion, stateOf, type Named, type Reference, type Version } from './state.js';

/** A file to store: where it lies, and its path within the version. */
export interface SourceFile {
  readonly path: string;
  readonly source: string;
}

export interface Verified {
  readonly versions: number;
  readonly files: number;
  readonly bytes: number;
  /** What is wrong; empty where the store is whole. */
  readonly problems: readonly string[];
  /** Stored files that no version has, as a killed `add` leaves them: harmless, and used again by the next. */
  readonly unused: number;
  /** Bytes of a torn last line of the log, which the next change cuts off. */
  readonly torn: number;
}

export interface Store {
  readonly dir: string;
  /**
   * Adds a run: its model files, checked against the record, and the record with its gate. Throws DATA_*,
   * MODEL_CHANGED, USAGE, OUTPUT_WRITE, STORE_*.
   */
  addRun(name: string, target: string): Promise<Version>;
  /** Adds a model that has no run, from all of its files. */
  addFiles(name: string, source: string, files: readonly SourceFile[]): Promise<Version>;
  /** Every name with its versions. */
  list(): readonly Named[];
  /** Throws STORE_UNKNOWN. */
  find(reference: Reference): Version;
  /** The record of a version that is a run. */
  record(version: Version): RunRecord | undefined;
  /** Where a file of a version lies, to be read only. */
  pathOf(file: Pick<VersionFile, 'sha256'>): string;
  /**
   * Moves a version one stage up. Refused (STORE_REFUSED) without a gate that passes, and for a stage that is skipped,
   * unless forced, which the log records; and for files that are damaged, always.
   */
  promote(reference: Reference, to: 'canary' | 'production', force?: boolean): Promise<Version>;
  /** Puts the version back into production that was there before. Throws STORE_REFUSED where there is none. */
  rollback(name: string): Promise<Version>;
  /** Copies a version's files into a folder. Throws OUTPUT_WRITE, also where one is there already. */
  copyTo(version: Version, folder: string): readonly string[];
  /** Reads everything: each line of the log and each stored file against its hash. */
  verify(): Verified;
}

const WAIT_MS = 10_000;
/** What the folder of a store that was killed before its first version may hold. */
const OWN = /^(objects|tmp|lock(\..*)?|log\.jsonl)$/;

/**
 * Opens the store in a folder, which the first `add` makes. `waitMs`: how long to wait for another writer. Throws
 * nothing.
 */
export function openStore(dir: string, { waitMs = WAIT_MS }: { readonly waitMs?: number } = {}): Store {
  const read = (): readonly Named[] => {
    if (!fs.existsSync(logFile(dir)))
      fail(
        'STORE_UNKNOWN',
        `'${dir}' is no store`,
        { file: dir },
        'give its folder with --store; `quantize store add` makes one',
      );
    return stateOf(readLog(dir).entries, logFile(dir));
  };
  /** Decides on a change from the state under the lock, and writes it. */
  const change = (decide: (names: readonly Named[]) => Change): Promise<Version> =>
    withLock(path.join(dir, 'lock'), waitMs, () => {
      sweep(dir);
      const log = readLog(dir);
      const wanted = decide(stateOf(log.entries, logFile(dir)));
      const after = stateOf([...log.entries, appendLog(dir, log, wanted)], logFile(dir));
      return findVersion(after, { name: wanted.name, at: wanted.op === 'rollback' ? wanted.to : wanted.version });
    });
  const add = (name: string, made: Omit<Change & { op: 'add' }, 'op' | 'name' | 'version'>): Promise<Version> =>
    change((names) => ({
      op: 'add',
      name,
      version: (names.find((n) => n.name === name)?.versions.length ?? 0) + 1,
      ...made,
    }));
  const put = (files: readonly (SourceFile & { readonly sha256?: string })[]): VersionFile[] => {
    const odd =
      files.find((f) => !isInside(f.path)) ?? files.find((f, i) => files.findIndex((g) => g.path === f.path) !== i);
    if (odd)
      fail('DATA_UNSAFE', `the file '${odd.path}' of the version lies outside of its folder, or is there twice`, {
        file: odd.source,
      });
    if (!files.length) fail('DATA_MISSING', 'there is no file to store', {}, 'a run that failed has no model');
    return files.map((f) => ({ path: f.path, ...putFile(dir, f.source, f.sha256) }));
  };
  const assertWhole = (version: Version): void => {
    const odd = version.files.find((f) => !isWhole(objectPath(dir, f.sha256), f.bytes, f.sha256));
    if (odd)
      fail(
        'STORE_DAMAGED',
        `the file '${odd.path}' of ${version.name}@${version.version} is damaged or missing`,
        { file: objectPath(dir, odd.sha256) },
        'add the model again: it repairs the stored file',
      );
  };

  return {
    dir,
    async addRun(name, target) {
      checkName(name);
      readRun(target); // before anything is written
      prepare(dir);
      const folder = fs.statSync(target, { throwIfNoEntry: false })?.isDirectory() ? target : path.dirname(target);
      const stored = putFile(dir, folder === target ? path.join(target, 'run.json') : target);
      const run = readRun(objectPath(dir, stored.sha256)); // the bytes that are kept are the ones that are read
      if (run.outcome !== 'ok')
        fail('DATA_FORMAT', `the run in '${target}' failed`, { file: target }, 'a version needs a model');
      const files = put(run.files.map((f) => ({ path: f.path, source: path.join(folder, f.path), sha256: f.sha256 })));
      return add(name, {
        source: run.recipe.name,
        files: [...files, { path: 'run.json', ...stored }],
        record: stored.sha256,
        ...(run.gate ? { gate: structuredClone(run.gate) as NonNullable<(Change & { op: 'add' })['gate']> } : {}),
      }); // the same type without readonly
    },
    async addFiles(name, source, files) {
      checkName(name);
      prepare(dir);
      return add(name, { source, files: put(files) });
    },
    list: read,
    find: (reference) => findVersion(read(), reference),
    record: (version) => (version.record === undefined ? undefined : readRun(objectPath(dir, version.record))),
    pathOf: (file) => objectPath(dir, file.sha256),
    async promote(reference, to, force = false) {
      read();
      prepare(dir);
      return change((names) => {
        const version = findVersion(names, reference.at === undefined ? { ...reference, at: 'latest' } : reference);
        const label = `${version.name}@${version.version}`;
        if (version.stage === to) fail('STORE_REFUSED', `${label} is in ${to} already`);
        const refusals = [
          ...(version.gate?.verdict === 'pass'
            ? []
            : [version.gate ? `its gate says ${version.gate.verdict}` : 'its run has no gate']),
          ...(to === 'production' && version.stage !== 'canary'
            ? [`it is ${version.stage === 'candidate' ? 'a candidate' : version.stage} and was not the canary`]
            : []),
        ];
        if (to === 'canary' && version.stage === 'production')
          fail('STORE_REFUSED', `${label} is not promoted to canary: it is in production, which is further`);
        if (refusals.length && !force)
          fail(
            'STORE_REFUSED',
            `${label} is not promoted to ${to}: ${refusals.join(', and ')}`,
            {},
            `${
              version.gate?.verdict === 'pass'
                ? 'promote it to canary first'
                : 'pass `quantize gate RUN … --save` and add the run again'
            }; ` + 'or --force, which the log records',
          );
        assertWhole(version);
        return {
          op: 'promote',
          name: version.name,
          version: version.version,
          from: version.stage,
          to,
          forced: refusals.length > 0,
          ...(version.gate
            ? { gate: structuredClone(version.gate) as NonNullable<(Change & { op: 'promote' })['gate']> }
            : {}),
        }; // the same type without readonly
      });
    },
    async rollback(name) {
      checkName(name);
      read();
      prepare(dir);
      return change((names) => {
        const { held } = findName(names, name);
        const [to, from] = held.slice(-2);
        if (to === undefined || from === undefined)
          return fail(
            'STORE_REFUSED',
            `"${name}" has no earlier version in production to go back to`,
            {},
            held.length ? `version ${held[0] ?? ''} is the first` : 'nothing is in production yet',
          );
        assertWhole(findVersion(names, { name, at: to }));
        return { op: 'rollback', name, from, to };
      });
    },
    copyTo(version, folder) {
      assertWhole(version);
      const files = version.files.map((f) => ({ from: objectPath(dir, f.sha256), to: path.join(folder, f.path) }));
      const there = files.find((f) => fs.existsSync(f.to));
      if (there)
        fail('OUTPUT_WRITE', `'${there.to}' is there already`, { file: there.to }, 'give a new folder with --out');
      for (const { from, to } of files) {
        try {
          fs.mkdirSync(path.dirname(to), { recursive: true });
        } catch (error) {
          fail('OUTPUT_WRITE', `cannot write into '${folder}': ${reason(error)}`, { file: folder }, undefined, error);
        }
        writeFileAtomic(to, piecesOf(from));
      }
      return files.map((f) => f.to);
    },
    verify() {
      const names = read();
      const { torn } = readLog(dir);
      const versions = names.flatMap((n) => n.versions);
      const wanted = new Map(
        versions.flatMap((v) => v.files.map((f) => [f.sha256, { ...f, of: `${v.name}@${v.version}` }] as const)),
      );
      const problems = [...wanted.values()]
        .filter((f) => !isWhole(objectPath(dir, f.sha256), f.bytes, f.sha256))
        .map(
          (f) =>
            `file '${f.path}' of ${f.of} is ` +
            `${fs.existsSync(objectPath(dir, f.sha256)) ? 'damaged' : 'missing'}: ${f.sha256}`,
        );
      return {
        versions: versions.length,
        files: wanted.size,
        bytes: [...wanted.values()].reduce((n, f) => n + f.bytes, 0),
        problems,
        unused: listObjects(dir).filter((o) => !wanted.has(o)).length,
        torn,
      };
    },
  };
}

/** Makes the folder; refuses one that holds other things. Throws USAGE, OUTPUT_WRITE. */
function prepare(dir: string): void {
  try {
    if (!fs.existsSync(logFile(dir)) && fs.existsSync(dir) && fs.readdirSync(dir).some((name) => !OWN.test(name)))
      fail(
        'USAGE',
        `'${dir}' is no store, and not empty`,
        { file: dir },
        'give the folder of a store, or a new one, with --store',
      );
    makeFolder(path.join(dir, 'tmp'));
  } catch (error) {
    if (error instanceof Error && 'syscall' in error)
      fail('OUTPUT_WRITE', `cannot make a store in '${dir}': ${reason(error)}`, { file: dir }, undefined, error);
    throw error;
  }
}

/** Whether a path stays within the folder that it is relative to, on any system. */
const isInside = (file: string): boolean =>
  file !== '' &&
  !/^([/\\]|[A-Za-z]:)|\0/.test(file) &&
  !file.split(/[/\\]/).some((part) => part === '..' || part === '.' || part === '');
