/** A thread that solves rows, in the memory of the thread that asks. */
import { parentPort, workerData } from 'node:worker_threads';
import type { WasmMemory } from '../base/wasm.js';
import { linearKernels, shareMemory } from './linear-kernels.js';
import { runJob, type ThreadJob, type ThreadResult } from './row-jobs.js';

shareMemory(workerData as WasmMemory); // what RowsSolver gives
const answer = (told: ThreadResult): void => parentPort?.postMessage(told);
parentPort?.on('message', ({ job, from, to }: ThreadJob) => {
  try {
    linearKernels().within(from, to);
    answer({ made: runJob(job) });
  } catch (error) {
    answer({ error });
  }
});
