import { vi } from 'vitest';
import { main } from '../../../src/cli/main.js';

/** Runs a command line with its output caught. Takes away every mock when it ends. */
export async function runCli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const written = (done: unknown): true => {
    if (typeof done === 'function') (done as () => void)(); // a callback of a stream
    return true;
  };
  vi.spyOn(process.stdout, 'write').mockImplementation((s, done) => {
    out += String(s);
    return written(done);
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((s, done) => {
    err += String(s);
    return written(done);
  });
  try {
    return { code: await main(argv), out, err };
  } finally {
    vi.restoreAllMocks();
  }
}
