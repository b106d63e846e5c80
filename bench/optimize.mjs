/**
 * Time of `quantize optimize` by stage, in a warm process and as the whole command: `node bench/optimize.mjs MODEL
 * [MODEL …]`. Options: --runs 7 --level default. Milliseconds, the minimum and the median of the runs.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadModel, saveModel } from '../dist/onnx/files.js';
import { comparedIntegers } from '../dist/ops/compared.js';
import { forgetInferred } from '../dist/ops/infer.js';
import { checkOutputs, optimizeFile, optimizeGraph } from '../dist/standalone/optimize.js';

const { values, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string', default: '7' }, level: { type: 'string', default: 'default' } },
});
const options = { level: values.level };
const folder = mkdtempSync(path.join(os.tmpdir(), 'quantbench-optimize-'));
const out = path.join(folder, 'out.onnx');
const command = fileURLToPath(new URL('../bin/quantize.js', import.meta.url));
try {
  for (const file of files) {
    const times = {};
    const timed = async (stage, step) => {
      const start = performance.now();
      const result = await step();
      (times[stage] ??= []).push(performance.now() - start);
      return result;
    };
    for (let run = -1; run < Number(values.runs); run++) {
      if (run === 0) for (const stage of Object.keys(times)) times[stage] = [];
      const model = await timed('load', () => loadModel(file));
      const choices = comparedIntegers(model.graph);
      await timed('optimize', () => optimizeGraph(model, options));
      forgetInferred(model);
      await timed('check', () => checkOutputs(model, { file, choices }));
      await timed('save', () => saveModel(model, out));
      await timed('all, warm', () => optimizeFile(file, out, options));
      await timed('the command', () =>
        execFileSync(process.execPath, [command, 'optimize', file, '-o', out, '--level', values.level, '--quiet']),
      );
    }
    const text = Object.entries(times).map(([stage, list]) => {
      const sorted = list.sort((a, b) => a - b);
      return `${stage} ${sorted[0].toFixed(0)} (${sorted[sorted.length >> 1].toFixed(0)})`;
    });
    console.log(`${file}\t${text.join('\t')}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
