/**
 * Weight-only quantization of a large file, ours and onnxruntime's MatMulNBitsQuantizer in turns: CPU seconds (user and
 * system, of all threads) and peak resident memory. `node bench/llm.mjs MODEL.onnx [--python PYTHON] [--rounds 2]`.
 * Options: --recipe FILE (default: int4 in blocks of 32, rounded), --out FOLDER, --memory BYTES. PYTHON has onnxruntime
 * and onnx; without it only ours is measured. bench/llm-models.mjs makes models.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, readdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = path.dirname(fileURLToPath(import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: 'string' },
    rounds: { type: 'string', default: '2' },
    recipe: { type: 'string' },
    memory: { type: 'string' },
    out: { type: 'string' },
  },
});
const [model] = positionals;
if (!model) throw new Error('node bench/llm.mjs MODEL.onnx [--python PYTHON]');
const folder = mkdtempSync(path.join(values.out ?? os.tmpdir(), 'llm-'));
const recipe = values.recipe ?? path.join(folder, 'w4.yaml');
if (!values.recipe)
  writeFileSync(
    recipe,
    'version: 1\nquantize:\n  format: weight-only\n  weights: { dtype: int4, granularity: { block: 32 } }\n',
  );

/** CPU seconds and peak memory of a command and its children, from /proc while it runs. */
async function measure(command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (d) => (said += d));
  let [peak, cpu] = [0, 0];
  const ticks = 100; // of Linux
  const timer = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      peak = Math.max(peak, 1024 * Number(/VmHWM:\s*(\d+)/.exec(status)?.[1] ?? 0));
      const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1].split(' ');
      cpu = [11, 12, 13, 14].reduce((n, i) => n + Number(fields[i]), 0) / ticks;
    } catch {
      /* it has ended */
    }
  }, 50);
  const code = await new Promise((done) => child.on('exit', done));
  clearInterval(timer);
  if (code) throw new Error(`${command} ended with ${code}: ${said.slice(-500)}`);
  return { cpu, peak };
}

const sizeOf = (dir) => readdirSync(dir).reduce((n, f) => n + statSync(path.join(dir, f)).size, 0);
const mb = (n) => (n / 1e6).toFixed(0).padStart(6);
for (let round = 0; round < Number(values.rounds); round++) {
  const out = path.join(folder, 'ours');
  const more = values.memory ? ['--set', `memory=${values.memory}`] : [];
  const quantize = path.join(here, '..', 'bin', 'quantize.js');
  const ours = await measure(process.execPath, [quantize, '--recipe', recipe, '--model', model, '--out', out, ...more]);
  console.log(`ours  ${ours.cpu.toFixed(1).padStart(6)} CPU s ${mb(ours.peak)} MB peak ${mb(sizeOf(out))} MB written`);
  rmSync(out, { recursive: true });
  if (!values.python) continue;
  const peerOut = path.join(folder, 'peer');
  mkdirSync(peerOut);
  const script = path.join(here, 'llm-peer.py');
  const peer = await measure(values.python, [script, model, path.join(peerOut, 'model.onnx')]);
  console.log(
    `peer  ${peer.cpu.toFixed(1).padStart(6)} CPU s ${mb(peer.peak)} MB peak ${mb(sizeOf(peerOut))} MB written`,
  );
  rmSync(peerOut, { recursive: true });
}
rmSync(folder, { recursive: true });
