/**
 * A model against its own copy, as `quantize bench` and the latency stage measure: `node bench/latency-self.mjs
 * model.onnx …`. Options: --times 20, --runs 300, --threads 1, --busy spins on every core meanwhile. Tells the speed
 * ratios, which should all be within 0.97 and 1.03, and how many of the intervals hold 1.
 */
import { spawn } from 'node:child_process';
import os from 'node:os';
import { parseArgs } from 'node:util';
import { measureLatency } from '../dist/evaluate/latency.js';
import { randomFeed } from '../dist/pipeline/feeds.js';
import { Session } from '../dist/runtime/session.js';

const { values: v, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    times: { type: 'string', default: '20' },
    runs: { type: 'string', default: '300' },
    threads: { type: 'string', default: '1' },
    busy: { type: 'boolean' },
  },
});
const spinning = v.busy
  ? Array.from({ length: os.availableParallelism() }, () => spawn(process.execPath, ['-e', 'for (;;);']))
  : [];
try {
  for (const file of files) {
    const session = await Session.open(file);
    const feed = randomFeed(session.inputs, 0);
    await session.close();
    const start = performance.now();
    const found = [];
    for (let i = 0; i < Number(v.times); i++)
      found.push(
        await measureLatency({
          float: file,
          quantized: file,
          feed,
          runs: Number(v.runs),
          warmup: 10,
          threads: Number(v.threads),
        }),
      );
    const ratios = found.map((f) => f.speedup).sort((a, b) => a - b);
    const medians = found.map((f) => f.floatMs.p50 / f.quantizedMs.p50).sort((a, b) => a - b);
    const holds = found.filter((f) => f.speedupInterval[0] <= 1 && f.speedupInterval[1] >= 1).length;
    const rms = Math.sqrt(ratios.reduce((sum, r) => sum + (r - 1) ** 2, 0) / ratios.length);
    console.log(
      `${file}\tratios ${ratios[0].toFixed(3)}–${ratios.at(-1).toFixed(3)}, rms ${(100 * rms).toFixed(2)} ` +
        `%\tratios of medians ${medians[0].toFixed(3)}–${medians.at(-1).toFixed(3)}\t1 in ${holds} of ` +
        `${found.length} intervals\t${found.map((f) => f.runs).reduce((a, b) => a + b) / found.length} runs, ` +
        `${((performance.now() - start) / 1000 / found.length).toFixed(2)} s each`,
    );
  }
} finally {
  for (const s of spinning) s.kill();
}
