/**
 * A comparison of six recipes that differ in their observers only, against one of them alone, as whole processes in
 * turn:
 * `node bench/compare.mjs`. Needs the models and data of recipes/cifar10/observers.yaml. Options: --rounds 3
 * The single run also looks into layers and kernels, which comparisons leave out; --plain leaves them out there too.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, plain: { type: 'boolean', default: false } },
});
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const recipe = path.join(root, 'recipes', 'cifar10', 'observers.yaml');
const folder = mkdtempSync(path.join(os.tmpdir(), 'quantbench-bench-'));
const plain = values.plain ? ['--set', 'evaluation.layers=false', '--set', 'evaluation.profile=false'] : [];
const time = (...args) => {
  const start = performance.now();
  const r = spawnSync(process.execPath, [path.join(root, 'bin', 'quantize.js'), ...args, '--quiet', ...plain], {
    encoding: 'utf8',
  });
  if (r.status !== 0) throw new Error(r.stderr);
  return (performance.now() - start) / 1000;
};
const times = { one: [], six: [] };
for (let round = 0; round < Number(values.rounds); round++) {
  times.one.push(
    time('--recipe', recipe, '--set', 'quantize.activations.observer=kl', '--out', path.join(folder, 'one')),
  );
  times.six.push(time('compare', recipe, '--fresh', '--out', path.join(folder, 'six')));
}
rmSync(folder, { recursive: true, force: true });
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
console.log(
  `one ${times.one.map((t) => t.toFixed(1)).join(' ')} s\nsix ${times.six.map((t) => t.toFixed(1)).join(' ')} s`,
);
console.log(
  `ratio of medians ${(median(times.six) / median(times.one)).toFixed(2)}, of minima ` +
    `${(Math.min(...times.six) / Math.min(...times.one)).toFixed(2)}`,
);
