/** Models loaded and run in a process of its own first: a crash of the runtime takes that process, not ours. */
import { item } from '../base/lists.js';
import { spawn, type ChildProcess } from 'node:child_process';
import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Feed } from '../ir/feed.js';
import { emptyOf } from './empty.js';

export interface Probed {
  /** A model file. */
  readonly file: string;
  /** What to run in turn; none to load the model only. */
  readonly feeds?: readonly Feed[] | undefined;
}
/** What went wrong; `feed` is the place of the one that was run. */
export interface Trouble {
  readonly at: 'load' | 'run' | 'crash';
  readonly message: string;
  readonly feed?: number | undefined;
}
/** Shapes of the outputs by name, for each feed that ran. */
export type Shapes = readonly Readonly<Record<string, readonly number[]>>[];
export interface Probe {
  readonly trouble: Trouble | undefined;
  readonly shapes: Shapes;
}
export interface ProbeOptions {
  readonly threads?: number;
  readonly signal?: AbortSignal | undefined;
  /** A process that takes longer with one model is stopped; default: 10 minutes. */
  readonly timeoutMs?: number;
}

/**
 * Runs in the child, as text, so that no file of ours has to be found there. One message in for each model, one out.
 */
const CHILD = `
const emptyOf = ${emptyOf.toString()};
process.on('message', async ({ entry, file, threads, feeds }) => {
  let at = 'load', place;
  const shapes = [];
  try {
    const ort = require(entry);
    ort.env.logLevel = 'fatal';
    const settings = { executionProviders: ['cpu'], intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 4 };
    const session = await ort.InferenceSession.create(file, settings);
    at = 'run';
    const fetches = session.outputMetadata.filter((o) => o.isTensor).map((o) => o.name);
    for (const [i, feed] of feeds.entries()) {
      place = i;
      const tensors = session.inputMetadata.map(({ name, type, shape }) => {
        const t = emptyOf(feed[name], type, shape);
        return [name, new ort.Tensor(t.dtype, t.data, t.dims)];
      });
      const made = fetches.length ? await session.run(Object.fromEntries(tensors), fetches) : {};
      shapes.push(Object.fromEntries(Object.entries(made).map(([name, t]) => [name, [...t.dims]])));
    }
    await session.release();
    process.send({ shapes });
  } catch (error) {
    process.send({ shapes, trouble: { at, message: String(error && error.message || error), feed: place } });
  }
});`;

/** So long a process that answered waits for the next question: starting one is most of what a small model takes. */
const WAITS_MS = 500;
/** A process that held larger models ends at once, for what it keeps of their memory. */
const SMALL_BYTES = 16 * 2 ** 20;
let waiting: { readonly child: ChildProcess; readonly timer: NodeJS.Timeout } | undefined;

/** The process that waits, which is no longer waiting then. */
function takeWaiting(): ChildProcess | undefined {
  const { child, timer } = waiting ?? {};
  waiting = undefined;
  clearTimeout(timer);
  if (!child?.connected) return undefined;
  child.ref();
  child.channel?.ref();
  return child;
}

/** Lets a process wait, for which ours does not wait when it ends: it ends too, when the channel closes. */
function letWait(child: ChildProcess): void {
  takeWaiting()?.kill('SIGKILL'); // of another job at the same time
  child.unref();
  child.channel?.unref();
  const timer = setTimeout(() => {
    if (waiting?.child === child) waiting = undefined;
    child.kill('SIGKILL');
  }, WAITS_MS);
  waiting = { child, timer: timer.unref() };
}

const isSmall = (file: string): boolean => (statSync(file, { throwIfNoEntry: false })?.size ?? 0) <= SMALL_BYTES;

/** Of each model, in their order, the first trouble; undefined where it loads and runs. Throws the signal's reason. */
export async function probeModels(models: readonly Probed[], o: ProbeOptions = {}): Promise<Probe[]> {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node');
  const found: Probe[] = [];
  const start = (): ChildProcess =>
    spawn(process.execPath, ['-e', CHILD], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], serialization: 'advanced' });
  let child: ChildProcess | undefined;
  const mayWait = models.every((m) => isSmall(m.file));
  try {
    for (const { file, feeds = [] } of models) {
      o.signal?.throwIfAborted();
      const used = child ? undefined : takeWaiting();
      child ??= used ?? start();
      const question = { entry, file: path.resolve(file), threads: o.threads ?? 1, feeds };
      let answer = await ask(child, question, o);
      o.signal?.throwIfAborted();
      if (used && answer.trouble?.at === 'crash') {
        // What another job left behind is no fault of this model: a process of its own tells.
        used.kill('SIGKILL');
        child = start();
        answer = await ask(child, question, o);
        o.signal?.throwIfAborted();
      }
      const { trouble, shapes } = answer;
      found.push({
        shapes,
        trouble: trouble && { ...trouble, message: item(trouble.message.split('\n'), 0).slice(0, 600) },
      }); // split gives one
      if (trouble?.at === 'crash') {
        child.kill('SIGKILL');
        child = undefined;
      } // the next model gets a process that is alive
    }
    if (child && mayWait) letWait(child);
    else child?.kill('SIGKILL');
    return found;
  } catch (error) {
    child?.kill('SIGKILL');
    throw error;
  }
}

function ask(child: ChildProcess, question: object, o: ProbeOptions): Promise<Probe> {
  const { signal, timeoutMs = 600_000 } = o;
  return new Promise<Probe>((resolve) => {
    const timer = setTimeout(() => settle(crash(`it took longer than ${timeoutMs / 1000} s`)), timeoutMs);
    const settle = (answer: Probe): void => {
      clearTimeout(timer);
      for (const event of ['message', 'error', 'exit']) child.removeAllListeners(event);
      child.on('error', () => undefined); // of a process that is killed while it is asked
      signal?.removeEventListener('abort', aborted);
      resolve(answer);
    };
    const crash = (message: string): Probe => ({ shapes: [], trouble: { at: 'crash', message } });
    const aborted = (): void => settle(crash('it was stopped'));
    signal?.addEventListener('abort', aborted);
    child.on('message', (message) => settle(message as Probe)); // the script above sends nothing else
    child.on('error', (error) => settle(crash(error.message)));
    child.on('exit', (code, killedBy) => settle(crash(`its process ended with ${killedBy ?? exitText(code)}`)));
    child.send(question, (error) => {
      if (error) settle(crash(error.message));
    });
  });
}

/**
 * Windows has no signals: what ends a process there is an exception code, such as 0xC0000005 for an access violation.
 */
const exitText = (code: number | null): string =>
  code !== null && code > 255 ? `0x${code.toString(16).toUpperCase()}` : `code ${code ?? 'unknown'}`;
