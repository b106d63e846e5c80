/** Timing on a machine that has no core to spare: it takes both cores for seconds, which no fast lane has. */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { expect, it } from 'vitest';
import { measureLatency } from '../../src/evaluate/latency.js';
import { bytesOf, f32 } from '../rooms/evaluate/helpers.js';

const LARGE =
  'g (float[N,64] x) => (float[N,64] y) { a = Sin(x)  b = Exp(a)  c = Sin(b)  d = Exp(c)  e = Sin(d)  f = ' +
  'Exp(e)  h = Sin(f)  i = Exp(h)  y = Sin(i) }';
const x = f32(
  Array.from({ length: 256 * 64 }, (_, i) => i / 1000),
  [256, 64],
);

it('finds a model as fast as itself while other programs spin on every core', async () => {
  const spinning = Array.from({ length: availableParallelism() }, () => spawn(process.execPath, ['-e', 'for (;;);']));
  try {
    for (let i = 0; i < 5; i++) {
      const o = { feed: { x }, runs: 100, warmup: 5, threads: 1 };
      const { speedup, speedupInterval: [low, high] = [NaN, NaN] } = await measureLatency({
        float: bytesOf(LARGE),
        quantized: bytesOf(LARGE),
        ...o,
      });
      expect(speedup).toBeGreaterThan(0.97);
      expect(speedup).toBeLessThan(1.03);
      expect(low).toBeLessThanOrEqual(1);
      expect(high).toBeGreaterThanOrEqual(1);
    }
  } finally {
    for (const s of spinning) s.kill('SIGKILL');
  }
}, 60_000);
