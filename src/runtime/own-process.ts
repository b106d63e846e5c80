/** A model loaded and run in a process of its own: what it costs where nothing else is. */
import { item } from '../base/lists.js';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fail } from '../base/errors.js';
import type { Feed } from '../ir/feed.js';
import { emptyOf } from './empty.js';
import type { ProcessFacts } from '../record/index.js';

export interface OwnProcessOptions {
  /** A model file. */
  readonly file: string;
  readonly feed: Feed;
  readonly threads: number;
  /** Runs after the first: peak memory may come later than it. Default: 3. */
  readonly runs?: number;
  readonly signal?: AbortSignal | undefined;
  /** A process that takes longer is stopped; default: 10 minutes. */
  readonly timeoutMs?: number;
}

/** Runs in the child, as text, so that no file of ours has to be found there. */
const CHILD = `
const emptyOf = ${emptyOf.toString()};
// Linux keeps the parent's peak in getrusage across exec; VmHWM is of this program alone.
const peak = () => {
  try { return 1024 * Number(/VmHWM:\\s*(\\d+)/.exec(require('node:fs').readFileSync('/proc/self/status', 'utf8'))[1]); } catch { return 1024 * process.resourceUsage().maxRSS; }
};
process.once('message', async ({ entry, file, threads, runs, feed }) => {
  const answer = (message) => process.send(message, () => process.disconnect());
  try {
    const ort = require(entry);
    ort.env.logLevel = 'fatal';
    gc();
    const before = process.memoryUsage.rss();
    let start = performance.now();
    const session = await ort.InferenceSession.create(file, { executionProviders: ['cpu'], intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 4 });
    const loadMs = performance.now() - start;
    const feeds = Object.fromEntries(session.inputMetadata.map(({ name, type, shape }) => {
      const t = emptyOf(feed[name], type, shape);
      return [name, new ort.Tensor(t.dtype, t.data, t.dims)];
    }));
    const fetches = session.outputMetadata.filter((o) => o.isTensor).map((o) => o.name);
    start = performance.now();
    await session.run(feeds, fetches);
    const firstRunMs = performance.now() - start;
    for (let i = 0; i < runs; i++) await session.run(feeds, fetches);
    answer({ facts: { loadMs, firstRunMs, peakBytes: Math.max(0, peak() - before) } });
  } catch (error) {
    answer({ problem: String(error && error.message || error) });
  }
});`;
type Answer = { readonly facts: ProcessFacts } | { readonly problem: string };

/** Each file in its own process, as many at a time as the cores have room for. See {@link measureOwnProcess}. */
export async function measureOwnProcesses(
  files: readonly string[],
  o: Omit<OwnProcessOptions, 'file'>,
): Promise<ProcessFacts[]> {
  const found = new Array<ProcessFacts>(files.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < files.length) {
      const i = next++;
      found[i] = await measureOwnProcess({ ...o, file: item(files, i) });
    }
  }; // i is below the length
  await Promise.all(Array.from({ length: Math.max(1, Math.floor(os.availableParallelism() / o.threads)) }, worker));
  return found;
}

/**
 * Load time, time of the first run, and how much loading and running raised the peak of resident memory, measured in a
 * fresh process. Throws MODEL_RUNTIME where the process fails, and the signal's reason.
 */
export async function measureOwnProcess(o: OwnProcessOptions): Promise<ProcessFacts> {
  o.signal?.throwIfAborted();
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node');
  const label = path.basename(o.file);
  const child = spawn(process.execPath, ['--expose-gc', '-e', CHILD], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    serialization: 'advanced',
    timeout: o.timeoutMs ?? 600_000,
    killSignal: 'SIGKILL',
    ...(o.signal ? { signal: o.signal } : {}),
  });
  const answer = await new Promise<Answer>((resolve) => {
    child.on('message', (message) => resolve(message as Answer)); // the script above sends nothing else
    child.on('error', (error) => resolve({ problem: error.message }));
    child.on('exit', (code, signal) => resolve({ problem: `it ended with ${signal ?? `code ${code ?? 'unknown'}`}` }));
    child.send({ entry, file: o.file, threads: o.threads, runs: o.runs ?? 3, feed: o.feed }, (error) => {
      if (error) resolve({ problem: error.message });
    });
  });
  o.signal?.throwIfAborted();
  if ('facts' in answer) return answer.facts;
  return fail(
    'MODEL_RUNTIME',
    `a process of its own could not run ${label}: ${item(answer.problem.split('\n'), 0).slice(0, 600)}`,
    { file: o.file },
  ); // split gives at least one piece
}
