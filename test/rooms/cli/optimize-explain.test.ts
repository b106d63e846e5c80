import path from 'node:path';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import { afterAll, describe, expect, it } from 'vitest';
import { patternOf } from '../../../src/cli/commands/optimize.js';
import { runCli } from './run-cli.js';

const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-explain-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const demo = path.join(import.meta.dirname, '../../../calibration-data/demo.onnx');

describe('optimize --explain', () => {
  it('shows what each change did as a pair, then where', async () => {
    const { code, out } = await runCli('optimize', demo, '--out', path.join(root, 'o.onnx'), '--explain');
    expect(code).toBe(0);
    expect(out).toMatch(
      /fold-batch-norm-conv: 14 changes, 47 → 33 nodes\.[^\n]*\n {2}14 × Conv \+ BatchNormalization → Conv\n {4}Conv \/features\/features\.0\/features\.0\.0\/Conv\n/,
    );
  });
  it.each<[Parameters<typeof patternOf>[0], string | undefined]>([
    [{ changes: 1, removed: ['Identity a'], added: [] }, 'Identity → nothing'],
    [
      { changes: 2, removed: ['Mul a', 'Mul b', 'Add c', 'Mul d', 'Mul e', 'Add f'], added: ['Gemm x', 'Gemm y'] },
      'Mul + Mul + Add → Gemm',
    ],
    [{ changes: 2, removed: ['Mul a', 'Add b', 'Add c'], added: ['Gemm x', 'Gemm y'] }, undefined],
    [{ changes: 3, removed: ['Constant k', 'Constant'], added: [] }, undefined],
  ])('%j is %s', (trace, pattern) => {
    expect(patternOf(trace)).toBe(pattern);
  });
});
