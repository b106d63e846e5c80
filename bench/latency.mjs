/**
 * Latency of ONNX models in onnxruntime, interleaved in one process: `node bench/latency.mjs float.onnx int8.onnx [peer.onnx …]`.
 * Options: --runs 300 --threads 1. The ratio is that of the medians (and of the minima) to the first file.
 */
import { parseArgs } from 'node:util';
import { randomFeed } from '../dist/pipeline/feeds.js';
import { Session } from '../dist/runtime/session.js';

const { values, positionals: files } = parseArgs({ allowPositionals: true, options: { runs: { type: 'string', default: '300' }, threads: { type: 'string', default: '1' } } });
const runs = Number(values.runs);
const sessions = await Promise.all(files.map((f) => Session.open(f, { threads: Number(values.threads) })));
const feed = randomFeed(sessions[0].inputs, 1);
const times = files.map(() => []);
for (let r = -10; r < runs; r++) {
  for (const [k, session] of sessions.entries()) {
    const start = performance.now();
    await session.run(feed);
    if (r >= 0) times[k].push(performance.now() - start);
  }
}
const sorted = times.map((t) => t.sort((a, b) => a - b));
const median = (t) => t[t.length >> 1];
for (const [k, file] of files.entries()) console.log(`${file}\tp50 ${median(sorted[k]).toFixed(3)} ms\tfloat ÷ this ${(median(sorted[0]) / median(sorted[k])).toFixed(2)}\tmin ${sorted[k][0].toFixed(3)} ms\t${(sorted[0][0] / sorted[k][0]).toFixed(2)}`);
await Promise.all(sessions.map((s) => s.close()));
