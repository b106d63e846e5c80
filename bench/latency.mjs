/**
 * Latency of ONNX models in onnxruntime, interleaved in one process: `node bench/latency.mjs float.onnx int8.onnx
 * [peer.onnx …]`. Options: --runs 300 --threads 1, --shape input_ids=8x128 for sizes that the model leaves open, --fill
 * attention_mask=1 for inputs that take no random values (both repeatable). Models take turns in going first. The ratio
 * is that of the medians, lower quartiles and minima to the first file.
 */
import { parseArgs } from 'node:util';
import { randomFeed } from '../dist/pipeline/feeds.js';
import { Session } from '../dist/runtime/session.js';

const { values, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '300' },
    threads: { type: 'string', default: '1' },
    shape: { type: 'string', multiple: true, default: [] },
    fill: { type: 'string', multiple: true, default: [] },
  },
});
const runs = Number(values.runs);
const shapes = Object.fromEntries(
  values.shape.map((s) => {
    const [name, sizes] = s.split('=');
    return [name, sizes === '' ? [] : sizes.split('x').map(Number)];
  }),
);
const sessions = await Promise.all(files.map((f) => Session.open(f, { threads: Number(values.threads) })));
const feed = randomFeed(
  sessions[0].inputs.map((i) => ({ ...i, shape: shapes[i.name] ?? i.shape })),
  1,
);
for (const [name, value] of values.fill.map((f) => f.split('=')))
  feed[name].data.fill(typeof feed[name].data[0] === 'bigint' ? BigInt(value) : Number(value));
const times = files.map(() => []);
for (let r = -10; r < runs; r++) {
  for (let turn = 0; turn < sessions.length; turn++) {
    const k = (turn + r + 10) % sessions.length;
    const start = performance.now();
    await sessions[k].run(feed);
    if (r >= 0) times[k].push(performance.now() - start);
  }
}
const sorted = times.map((t) => t.sort((a, b) => a - b));
const part = (t, p) => t[Math.floor(t.length * p)];
const ratio = (k, p) => (part(sorted[0], p) / part(sorted[k], p)).toFixed(2);
for (const [k, file] of files.entries())
  console.log(
    `${file}\tp50 ${part(sorted[k], 0.5).toFixed(3)} ms\tfloat ÷ this ${ratio(k, 0.5)}\tp25 ` +
      `${part(sorted[k], 0.25).toFixed(3)} ms\t${ratio(k, 0.25)}\tmin ${part(sorted[k], 0).toFixed(3)} ` +
      `ms\t${ratio(k, 0)}`,
  );
await Promise.all(sessions.map((s) => s.close()));
