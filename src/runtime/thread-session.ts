/** A session in a thread of its own: its runs do not block this thread, so that several compute at once. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { temporaryFolder } from '../base/environment-errors.js';
import { QuantError, type ErrorCode, type Where } from '../base/errors.js';
import type { Feed, FeedTensor, ValueInfo } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import { saveModel } from '../onnx/files.js';
import type { SessionOptions } from './session.js';

/** What the thread is started with. */
export interface ThreadData {
  readonly file: string;
  readonly options: SessionOptions;
}
/** What the thread answers: once it is open, after each run, and where either fails. */
export type ThreadAnswer =
  | { readonly inputs: readonly ValueInfo[]; readonly outputs: readonly ValueInfo[] }
  | { readonly results: Record<string, FeedTensor> }
  | { readonly error: { readonly code: ErrorCode; readonly message: string; readonly where?: Where } };

export class ThreadSession {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly #worker: Worker;

  private constructor(worker: Worker, told: { inputs: readonly ValueInfo[]; outputs: readonly ValueInfo[] }) {
    this.#worker = worker;
    this.inputs = told.inputs;
    this.outputs = told.outputs;
  }

  /** Throws MODEL_RUNTIME. */
  static async open(model: Model, options: SessionOptions): Promise<ThreadSession> {
    const folder = temporaryFolder();
    const file = path.join(folder, 'model.onnx');
    try {
      saveModel(model, file, { externalData: 'always' });
      const workerData: ThreadData = { file, options };
      const worker = new Worker(new URL('./session-thread.js', import.meta.url), { workerData });
      const told = await answerOf(worker);
      if ('inputs' in told) return new ThreadSession(worker, told);
      await worker.terminate();
      throw errorOf(told);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** One run at a time. Throws what Session.run() throws. */
  async run(feed: Feed): Promise<Record<string, FeedTensor>> {
    this.#worker.postMessage(feed);
    const told = await answerOf(this.#worker);
    if ('results' in told) return told.results;
    throw errorOf(told);
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** The next message; a thread that ends without one has failed. */
function answerOf(worker: Worker): Promise<ThreadAnswer> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      worker.off('message', told).off('error', failed).off('exit', gone);
    };
    const told = (answer: ThreadAnswer): void => {
      done();
      resolve(answer);
    };
    const failed = (error: Error): void => {
      done();
      reject(new QuantError('MODEL_RUNTIME', `a thread of onnxruntime failed: ${error.message}`, { cause: error }));
    };
    const gone = (code: number): void => {
      failed(new Error(`it ended with ${code}`));
    };
    worker.on('message', told).on('error', failed).on('exit', gone);
  });
}

const errorOf = (told: ThreadAnswer): QuantError =>
  'error' in told
    ? new QuantError(told.error.code, told.error.message, { where: told.error.where })
    : new QuantError('INTERNAL', 'bug in quantbench: a thread answered what it was not asked');
