/** The process that runs inputs: asked for one after the other, so that whoever asks knows at which one it hangs. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { inputMaker } from './inputs.js';

export interface Ask {
  readonly seed: number;
  readonly index: number;
  /** Where to keep the files of the input, whatever becomes of it. */ readonly keep?: string;
}
export interface Answer {
  readonly index: number;
  readonly kind: string;
  readonly size: number;
  readonly cpuMs: number;
  /**
   * Most memory that the process held while it ran, and what it held before, in bytes; 0 where the system does
   * not tell.
   */
  readonly peak: number;
  readonly before: number;
  readonly error?: string;
}

const make = inputMaker(process.argv[2]!); // given by main.ts
const folder = mkdtempSync(path.join(os.tmpdir(), 'quantbench-fuzz-'));
process.on('disconnect', () => process.exit(0)).on('exit', () => rmSync(folder, { recursive: true, force: true }));
process.on('message', (ask: Ask) => void answer(ask));
process.send?.('ready');

async function answer({ seed, index, keep }: Ask): Promise<void> {
  const input = await make(seed, index);
  if (keep !== undefined)
    for (const [name, bytes] of Object.entries(input.files))
      writeFileSync(path.join(keep, name.replaceAll('/', '-')), bytes);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const before = startPeak();
  const from = process.cpuUsage();
  let error: string | undefined;
  try {
    breakOnPurpose();
    await input.run(folder);
  } catch (e) {
    error = e instanceof Error ? (e.stack ?? e.message) : String(e);
  }
  const used = process.cpuUsage(from);
  process.send?.({
    index,
    kind: input.kind,
    size: input.size,
    cpuMs: (used.user + used.system) / 1000,
    peak: peak(),
    before,
    ...(error === undefined ? {} : { error }),
  } satisfies Answer);
}

/** How the test of the harness makes sure that a harness that finds nothing could. */
function breakOnPurpose(): void {
  const how = process.env.QUANTBENCH_FUZZ_BREAK;
  if (how === 'throw') throw new Error('broken on purpose');
  if (how === 'exit') process.exit(7);
  while (how === 'hang') {
    /* for ever */
  }
}

/** Sets the peak back to what the process holds now, and gives that. */
function startPeak(): number {
  if (process.platform !== 'linux') return 0;
  writeFileSync('/proc/self/clear_refs', '5');
  return peak();
}
function peak(): number {
  if (process.platform !== 'linux') return 0;
  return 1024 * Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0);
}
