/** `quantize gate` on records in files. */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { GateFacts, RunRecord } from '../../../src/record/index.js';
import { flips, latencyOf, runWith } from './helpers.js';
import { runCli } from '../cli/run-cli.js';

const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-gate-'));
let made = 0;
function folder(record: RunRecord | string): string {
  const dir = path.join(temp, `run ${made++}`);
  mkdirSync(dir);
  writeFileSync(path.join(dir, 'run.json'), typeof record === 'string' ? record : JSON.stringify(record));
  return dir;
}
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

async function run(...argv: string[]): ReturnType<typeof runCli> {
  for (const [key, value] of Object.entries({ GITHUB_ACTIONS: undefined, GITHUB_STEP_SUMMARY: undefined, ...env }))
    vi.stubEnv(key, value);
  try {
    return await runCli('gate', ...argv);
  } finally {
    vi.unstubAllEnvs();
  }
}
let env: Record<string, string> = {};

const good = runWith({ name: 'good', paired: flips(3, 3, 9894, 100), latency: latencyOf(2) });
const bad = runWith({ name: 'bad', paired: flips(400, 100, 9400, 100), latency: latencyOf(2) });
const small = runWith({ name: 'small', paired: flips(1, 0, 99), latency: latencyOf(2) });
const withGate = (record: RunRecord, gate: unknown): RunRecord => ({
  ...record,
  recipe: { ...record.recipe, resolved: { gate } },
});

describe('quantize gate', () => {
  it.each([
    [good, 0, 'PASS'],
    [bad, 1, 'FAIL'],
    [small, 5, 'UNDECIDED'],
  ] as const)('exit codes and the verdict last', async (record, code, word) => {
    const r = await run(
      folder(record),
      '--max-accuracy-drop',
      '0.5%',
      '--max-latency-ratio',
      '0.8',
      '--max-size-ratio',
      '0.3',
    );
    expect([r.code, r.err]).toEqual([code, '']);
    const lines = r.out.trimEnd().split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(new RegExp(`^${word} +accuracyDrop +top1 `));
    expect(lines[3]).toMatch(new RegExp(`^${word}  ${record.recipe.name} against float: `));
  });
  it('takes the limits of the recipe, and flags change them', async () => {
    const dir = folder(withGate(good, { accuracyDrop: { max: '0.01 points' }, sizeRatio: { max: 0.1 } }));
    expect((await run(dir, '--quiet')).out).toBe('FAIL  good against float: 1 of 2 rules fail\n');
    const r = await run(
      dir,
      '--max-accuracy-drop',
      '0.5 points',
      '--max-size-ratio',
      '1',
      '--confidence',
      '99%',
      '--json',
    );
    const facts = JSON.parse(r.out) as GateFacts; // as the program wrote it
    expect(facts).toMatchObject({
      verdict: 'pass',
      confidence: 0.99,
      rules: [
        { name: 'accuracyDrop', limit: 0.5 },
        { name: 'sizeRatio', limit: 1 },
      ],
    });
  });
  it('compares with a baseline', async () => {
    const r = await run(folder(bad), '--baseline', folder(bad), '--max-accuracy-drop', '0.5%');
    expect([r.code, r.out]).toEqual([
      0,
      expect.stringMatching(/top1 did not change[^]*PASS {2}bad against bad of 2026/) as string,
    ]);
  });
  it.each<[string[], RegExp]>([
    [[], /no limit to judge[^]*--max-accuracy-drop/],
    [['--confidence', '90%'], /no limit/],
    [['--metric', 'top1'], /no limit/],
    [['--max-size-ratio', '1', '--metric', 'top1'], /--metric top1 has no limit to belong to/],
    [['--max-accuracy-drop', 'much'], /--max-accuracy-drop is "much"[^]*0\.5 points or 0\.5%/],
    [['--max-latency-ratio', '0'], /--max-latency-ratio is "0"[^]*above 0/],
    [['--max-size-ratio', '1', '--confidence', '95'], /--confidence is "95"[^]*95%/],
    [['--max-size-ratio', '-1'], /--max-size-ratio is "-1"/],
    [['--max-accuracy-drop', '1%', '--metric', ''], /--metric is ""/],
  ])('refuses %j', async (flags, words) => {
    const r = await run(folder(good), ...flags);
    expect([r.code, r.out]).toEqual([2, '']);
    expect(r.err).toMatch(/^USAGE|USAGE/);
    expect(r.err).toMatch(words);
  });
  it('tells records that are missing, broken or of another version', async () => {
    expect(await run(path.join(temp, 'nowhere'), '--max-size-ratio', '1')).toMatchObject({
      code: 3,
      err: expect.stringContaining('DATA_MISSING') as string,
    });
    expect(await run(folder('{'), '--max-size-ratio', '1')).toMatchObject({
      code: 3,
      err: expect.stringContaining('DATA_FORMAT') as string,
    });
    expect(await run(folder(withGate(good, { accuracy: 1 })), '--max-size-ratio', '1')).toMatchObject({
      code: 3,
      err: expect.stringContaining('gate section') as string,
    });
  });
  it('writes JUnit and Markdown, appends the step summary and annotates', async () => {
    const [junit, markdown, summary] = ['j.xml', 'm.md', 's.md'].map((f) => path.join(temp, f));
    writeFileSync(summary!, 'before\n');
    env = { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: summary! };
    const r = await run(
      folder(bad),
      '--max-accuracy-drop',
      '0.5%',
      '--max-size-ratio',
      '1',
      '--junit',
      junit!,
      '--markdown',
      markdown!,
    );
    env = {};
    expect(r.code).toBe(1);
    expect(readFileSync(junit!, 'utf8')).toMatch(/<testsuite [^>]*tests="2"[^>]*failures="1"/);
    expect(readFileSync(junit!, 'utf8')).toContain('top1 dropped by 3.00 points');
    expect(readFileSync(markdown!, 'utf8')).toContain('3.00 points');
    expect(readFileSync(summary!, 'utf8')).toMatch(/^before\n[^]*3\.00 points/);
    expect(r.err).toMatch(/^::error [^\n]*::[^\n]*3\.00 points/m);
  });
  it('--save puts the verdict into the record and keeps what this version does not know', async () => {
    const dir = folder(JSON.stringify({ ...good, later: 1 }));
    expect((await run(dir, '--max-size-ratio', '1')).code).toBe(0);
    const read = (): unknown => JSON.parse(readFileSync(path.join(dir, 'run.json'), 'utf8'));
    expect(read()).not.toHaveProperty('gate');
    expect((await run(dir, '--max-size-ratio', '1', '--save')).code).toBe(0);
    expect(read()).toMatchObject({ later: 1, gate: { verdict: 'pass', rules: [{ name: 'sizeRatio' }] } });
  });
  it('tells outputs that cannot be written', async () => {
    expect(await run(folder(good), '--max-size-ratio', '1', '--junit', path.join(temp, 'no', 'j.xml'))).toMatchObject({
      code: 3,
      out: '',
      err: expect.stringContaining('OUTPUT_WRITE') as string,
    });
  });
});
