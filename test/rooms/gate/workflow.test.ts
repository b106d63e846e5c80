/** The workflow in docs/ci: what it calls exists, and its scripts end as the exit codes ask. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import { main } from '../../../src/cli/main.js';

interface Step {
  readonly name?: string;
  readonly run?: string;
}
const file = fileURLToPath(new URL('../../../docs/ci/github-workflow.yml', import.meta.url));
// the file beside this test
const { steps } = (parse(readFileSync(file, 'utf8')) as { jobs: { quantize: { steps: Step[] } } }).jobs.quantize;
const script = (name: string): string => steps.find((s) => s.name === name)!.run!; // a missing step fails the test

it.each([
  ['Quantize', [0, 1, 5], [2, 3, 4]],
  ['Gate', [0, 5], [1, 2, 3, 4]],
] as const)('step %s goes on with %j and stops with %j', (name, goesOn, stops) => {
  const ended = (code: number): number | null =>
    spawnSync('bash', ['-e', '-o', 'pipefail', '-c', `npx() { return ${code}; }\n${script(name)}`]).status;
  expect(goesOn.map(ended)).toEqual(goesOn.map(() => 0));
  expect(stops.map(ended)).toEqual(stops);
});

it.each(['Quantize', 'Gate'])('step %s uses options that exist', async (name) => {
  let help = '';
  const command = name === 'Gate' ? ['gate', '--help'] : ['--help'];
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((s, done?: unknown) => {
    help += String(s);
    if (typeof done === 'function') (done as () => void)(); // a callback of a stream
    return true;
  });
  try {
    await main(command);
  } finally {
    spy.mockRestore();
  }
  const options = [
    ...script(name)
      .split('npx quantize')[1]!
      .split('||')[0]!
      .matchAll(/\s(--[a-z-]+)/g),
  ].map(([, o]) => o!); // the call is in each script, and the pattern has a group
  expect(options.length).toBeGreaterThan(1);
  expect(options.filter((o) => !help.includes(`${o} <`) && !help.includes(`${o} `))).toEqual([]);
});
