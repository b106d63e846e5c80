/**
 * `npm run fuzz -- --seconds N [--seed S] [--workers W]`: makes damaged models, recipes and data from a seed and
 * holds the tool to its rules. An input must end within 5 s of CPU time, take at most 50 times its size and 200 MB of
 * memory, and anything thrown must be a QuantError. `--only INDEX` runs one input of a seed again; `--patience S` is
 * the wall time of one. Exit code 1 where there are findings.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { Answer, Ask } from './worker.js';

const MOST_CPU_MS = 5000;
const memoryLimit = (size: number): number => 50 * size + 200e6;
/** What Node and our own modules take before anything is read. */
const IDLE_BYTES = 110e6;
/** Findings after which there is no point in going on. */
const ENOUGH = 20;

const [root = '.', ...argv] = process.argv.slice(2);
const { values } = parseArgs({
  args: argv,
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: String(Math.min(2, os.availableParallelism())) },
    only: { type: 'string' },
    patience: { type: 'string', default: '20' },
  },
});
/** On a machine that does other work too; beyond it the process is killed. */
const mostWallMs = 1000 * Number(values.patience);
const seed = Number(values.seed);
const findings: string[] = [];
let next = 0;
let done = 0;
const byKind = new Map<string, number>();

/** Runs one input in a process, or ends that process where it does not come back. */
class Runner {
  #child: ChildProcess | undefined;
  async #process(): Promise<ChildProcess> {
    if (this.#child) return this.#child;
    const child = fork(path.join(import.meta.dirname, 'worker.js'), [root], {
      execArgv: ['--max-old-space-size=1500', '--expose-gc'],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#child = child;
    await new Promise((ready) => {
      child.once('message', ready);
      child.once('exit', ready);
    });
    return child;
  }
  async run(ask: Ask): Promise<Answer | string> {
    const child = await this.#process();
    const answer = await new Promise<Answer | string>((resolve) => {
      const timer = setTimeout(() => resolve(`no answer in ${mostWallMs / 1000} s`), mostWallMs);
      const end = (result: Answer | string): void => {
        clearTimeout(timer);
        child.off('message', end).off('exit', onExit);
        resolve(result);
      };
      const onExit = (code: number | null, signal: string | null): void =>
        end(`the process ended with ${signal ?? code}`);
      child.on('message', end).on('exit', onExit).send(ask);
    });
    if (typeof answer === 'string') this.stop();
    return answer;
  }
  stop(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }
}

/** What is wrong with an answer; memory counts in a process that ran nothing else. */
function verdict(answer: Answer | string, fresh: boolean): string | undefined {
  if (typeof answer === 'string') return answer;
  if (answer.error !== undefined) return answer.error;
  if (answer.cpuMs > MOST_CPU_MS) return `it took ${(answer.cpuMs / 1000).toFixed(1)} s of CPU time`;
  const taken = fresh ? answer.peak - IDLE_BYTES : answer.peak - answer.before;
  return taken > memoryLimit(answer.size) - IDLE_BYTES
    ? `it took ${(taken / 1e6).toFixed(0)} MB of memory for ${answer.size} bytes`
    : undefined;
}

async function work(until: number): Promise<void> {
  const runner = new Runner();
  for (let served = 0; Date.now() < until && findings.length < ENOUGH; served++) {
    if (served % 2000 === 1999) runner.stop(); // what it holds from earlier inputs would hide what one takes
    const index = next++;
    const answer = await runner.run({ seed, index });
    done++;
    if (typeof answer !== 'string') byKind.set(answer.kind, (byKind.get(answer.kind) ?? 0) + 1);
    if (verdict(answer, false) !== undefined) await confirm(index);
  }
  runner.stop();
}

/** Runs an input again in a new process, and keeps its files where it fails again. */
async function confirm(index: number): Promise<void> {
  const keep = path.join(root, 'reports', 'fuzz', `${seed}-${index}`);
  const runner = new Runner();
  mkdirSync(keep, { recursive: true });
  const why = verdict(await runner.run({ seed, index, keep }), true);
  runner.stop();
  if (why === undefined) {
    rmSync(keep, { recursive: true, force: true });
    return;
  }
  findings.push(`${index}: ${why.split('\n').slice(0, 4).join('\n   ')}`);
  writeFileSync(path.join(keep, 'finding.txt'), `npm run fuzz -- --seed ${seed} --only ${index}\n${why}\n`);
  process.stdout.write(
    `finding ${findings.at(-1)}\n` +
      `   kept in ${path.relative(root, keep)}; again: npm run fuzz -- --seed ${seed} --only ${index}\n`,
  );
}

if (values.only === undefined) {
  const until = Date.now() + 1000 * Number(values.seconds);
  await Promise.all(Array.from({ length: Number(values.workers) }, () => work(until)));
  process.stdout.write(
    `${done} inputs (${[...byKind].map(([kind, n]) => `${n} ${kind}`).join(', ')}), seed ${seed}: ` +
      `${findings.length || 'no'} finding${findings.length === 1 ? '' : 's'}\n`,
  );
} else {
  await confirm(Number(values.only));
  if (!findings.length) process.stdout.write('no finding\n');
}
process.exitCode = findings.length ? 1 : 0;
