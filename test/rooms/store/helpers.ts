/** Runs to store: a folder with a model, data beside it, and the record. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { GateFacts, RunRecord } from '../../../src/record/index.js';
import { latencyOf, runWith } from '../gate/helpers.js';

export const temporary = (): string => mkdtempSync(path.join(tmpdir(), 'quantbench-store-'));
export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
export const gate = (verdict: GateFacts['verdict']): GateFacts => ({
  verdict,
  confidence: 0.95,
  against: 'float',
  rules: [{ name: 'sizeRatio', verdict, text: 'the file has 0.280 × the size' }],
});

/** A run whose model has this content. */
export function runFolder(
  content: string,
  verdict: GateFacts['verdict'] | 'none' = 'pass',
  more: Partial<RunRecord> = {},
): string {
  const folder = temporary();
  const files = { 'model.onnx': content, 'model.onnx.data': `data of ${content}` };
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  const record = runWith({
    name: `recipe ${content}`,
    metric: { float: 90, quantized: 89.5 },
    latency: latencyOf(2),
    more: {
      files: Object.entries(files).map(([name, text]) => ({ path: name, bytes: text.length, sha256: sha256(text) })),
      ...(verdict === 'none' ? {} : { gate: gate(verdict) }),
      ...more,
    },
  });
  writeFileSync(path.join(folder, 'run.json'), JSON.stringify(record));
  return folder;
}
export function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = temporary();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), text);
  }
  return folder;
}
