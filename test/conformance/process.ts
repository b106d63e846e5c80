/** The built command line as a process of its own. */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const bin = path.join(root, 'bin/quantize.js');
const newest = (dir: string): number =>
  Math.max(...readdirSync(dir, { recursive: true }).map((f) => statSync(path.join(dir, String(f))).mtimeMs));

/**
 * The real process runs what is built: builds it where it is older than the sources, so that no other code is tested.
 */
export function build(): void {
  const built = path.join(root, 'dist/cli/main.js');
  if (existsSync(built) && newest(path.join(root, 'dist')) >= newest(path.join(root, 'src'))) return;
  execFileSync(process.execPath, [path.join(root, 'node_modules/typescript/bin/tsc'), '-p', root]);
  cpSync(path.join(root, 'src/onnx/proto.js'), path.join(root, 'dist/onnx/proto.js'));
}

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
