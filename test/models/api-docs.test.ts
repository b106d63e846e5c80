/** The API reference is what the types say. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = path.join(import.meta.dirname, '..', '..');

it('docs/api is not stale, and misses no type (npm run docs writes it)', async () => {
  const out = mkdtempSync(path.join(os.tmpdir(), 'quantbench-api-'));
  try {
    // Warnings, such as types that are used but not exported, make it exit with 1. TypeDoc takes some 8 s of CPU.
    await promisify(execFile)(process.execPath, [path.join(root, 'scripts', 'api-docs.mjs'), out], { cwd: root });
    const files = (folder: string): Record<string, string> =>
      Object.fromEntries(readdirSync(folder).map((f) => [f, readFileSync(path.join(folder, f), 'utf8')]));
    const [made, kept] = [files(out), files(path.join(root, 'docs', 'api'))];
    expect(Object.keys(kept)).toEqual(Object.keys(made));
    for (const [name, text] of Object.entries(made))
      expect(kept[name] === text, `docs/api/${name} is stale`).toBe(true);
    expect(Object.values(made).join('')).not.toContain(root);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}, 180_000);
