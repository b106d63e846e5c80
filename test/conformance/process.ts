/** The built command line as a process of its own. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const bin = path.join(root, 'bin/quantize.js');

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly err: string;
}
/** The command line as a process of its own. `onText` sees what it said so far. */
export function start(
  argv: readonly string[],
  o: {
    env?: Readonly<Record<string, string>>;
    onText?: (text: string, kill: (s: NodeJS.Signals) => void) => void;
  } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [bin, ...argv], {
    env: { ...process.env, ...o.env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let err = '';
  child.stderr.on('data', (d: Buffer) => {
    err += d.toString();
    o.onText?.(err, (s) => child.kill(s));
  });
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      resolve({ code, signal, err });
    });
  });
}
export const argvOf = (folder: string, ...more: string[]): string[] => [
  '--recipe',
  path.join(folder, 'r.yaml'),
  '--out',
  path.join(folder, 'out'),
  ...more,
];
