/** How long this thread was ready to run and had no processor: time that belongs to other programs, not to a model. */
import { closeSync, openSync, readSync } from 'node:fs';

/**
 * `ms()` grows while the thread waits for a processor; it stays 0 where the system does not tell (it does on Linux).
 */
export interface WaitClock {
  ms(): number;
  close(): void;
}

/**
 * The clock of the calling thread. onnxruntime computes on the thread that calls it, with more threads on that one too.
 * Source: https://docs.kernel.org/scheduler/sched-stats.html (the second number of /proc/PID/schedstat, in ns).
 */
export function openWaitClock(): WaitClock {
  let file: number;
  try {
    file = openSync('/proc/thread-self/schedstat', 'r');
  } catch {
    return { ms: () => 0, close: () => undefined };
  }
  const buffer = Buffer.alloc(96); // three numbers of at most 20 digits
  return {
    ms: () => {
      const waited = Number(buffer.toString('latin1', 0, readSync(file, buffer, 0, buffer.length, 0)).split(' ')[1]);
      return Number.isFinite(waited) ? waited / 1e6 : 0;
    },
    close: () => closeSync(file),
  };
}
