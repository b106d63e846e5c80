/**
 * A lock file that one process at a time holds. It is made with its content by one exclusive link, so that it is never
 * seen half-written; what a dead process left is taken over under a lock of its own (see {@link takeOver}).
 */
import { createHash, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fail } from '../base/errors.js';
import { reason } from '../base/files.js';

interface Holder {
  readonly token: string;
  readonly host: string;
  readonly pid: number;
  readonly started: string;
  readonly since: string;
}

const host = (): string => createHash('sha256').update(hostname()).digest('hex').slice(0, 16);

/**
 * Tells a process from a later one with the same id; '' where the system does not say, `dead` for one that only waits
 * to be reaped.
 */
function startOf(pid: number): string {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // from field 3 of proc(5); the name before it may hold anything
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return fields[0] === 'Z' || fields[0] === 'X' ? 'dead' : `${boot} ${fields[19] ?? ''}`;
  } catch {
    return '';
  }
}

/**
 * Runs `work` while holding the lock `file`. Waits up to `timeoutMs` for another holder; throws STORE_LOCKED after
 * that, and OUTPUT_WRITE where the folder refuses a lock.
 */
export async function withLock<T>(file: string, timeoutMs: number, work: () => T): Promise<T> {
  const token = randomUUID();
  const until = performance.now() + timeoutMs;
  for (let wait = 2; !tryLock(file, token); wait = Math.min(100, wait * 1.5)) {
    if (performance.now() > until) {
      const holder = read(file);
      fail(
        'STORE_LOCKED',
        `'${file}' is ` +
          `held${
            holder
              ? ` by process ${holder.pid}${holder.host === host() ? '' : ' of another machine'} since ${holder.since}`
              : ''
          }; ` +
          `waited ${(timeoutMs / 1000).toFixed(1)} s`,
        { file },
        'wait for that process; if it runs no more, and its machine cannot be asked, remove the file',
      );
    }
    await sleep(wait);
  }
  try {
    return work();
  } finally {
    fs.rmSync(file, { force: true });
  } // alive, so nobody else removes it
}

function tryLock(file: string, token: string): boolean {
  if (create(file, token)) return true;
  const holder = read(file);
  if (holder && isGone(holder)) takeOver(file, holder, token);
  return create(file, token);
}

/** Makes the lock file where there is none. */
function create(file: string, token: string): boolean {
  // where leftovers of killed processes are swept
  const draft = path.join(path.dirname(file), 'tmp', `${process.pid}-${token}`);
  const holder: Holder = {
    token,
    host: host(),
    pid: process.pid,
    started: startOf(process.pid),
    since: new Date().toISOString(),
  };
  try {
    fs.writeFileSync(draft, JSON.stringify(holder), { flag: 'wx' });
    fs.linkSync(draft, file); // exclusive, as O_EXCL is, and with the content at once
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    return fail(
      'OUTPUT_WRITE',
      `cannot lock with '${file}': ${reason(error)}`,
      { file },
      'the folder must be writable, on a file system with hard links',
      error,
    );
  } finally {
    fs.rmSync(draft, { force: true });
  }
}

/**
 * Removes the lock of a dead holder. Two processes may find it at once: the one that holds the lock of exactly this
 * holder's token looks again, and only it removes. Killed there, it leaves a lock that is taken over in the same way.
 */
function takeOver(file: string, dead: Holder, token: string): void {
  const guard = `${file}.${dead.token}`;
  if (!tryLock(guard, token)) return;
  try {
    if (read(file)?.token === dead.token) fs.rmSync(file, { force: true });
  } finally {
    fs.rmSync(guard, { force: true });
  }
}

function read(file: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(fs.readFileSync(file, 'utf8'));
    const h = value as Partial<Holder> | null; // each field is checked next
    return h &&
      typeof h.token === 'string' &&
      /^[0-9a-f-]{36}$/.test(h.token) &&
      typeof h.host === 'string' &&
      Number.isInteger(h.pid) &&
      typeof h.started === 'string' &&
      typeof h.since === 'string'
      ? (h as Holder)
      : undefined;
  } catch {
    return undefined;
  } // released in between, or made by something else
}

/** Whether a holder of this machine runs no more. Of other machines nothing can be told: their locks stay. */
export function isGone(holder: Pick<Holder, 'host' | 'pid' | 'started'>): boolean {
  if (holder.host !== host()) return false;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
  const now = startOf(holder.pid);
  return now !== '' && holder.started !== '' && now !== holder.started;
}
