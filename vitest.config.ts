import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { defineConfig, type ViteUserConfig } from 'vitest/config';

const here = import.meta.dirname;
const include = ['test/**/*.test.ts'];
const exclude = ['test/models/**', 'test/browser/**', 'node_modules/**'];
/** Files that replace modules: others, which share what they import, must not meet the replacements. */
const mocking = readdirSync(path.join(here, 'test'), { recursive: true, encoding: 'utf8' })
  .map((f) => `test/${f.split(path.sep).join('/')}`)
  .filter((f) => f.endsWith('.test.ts') && /\bvi\.(?:mock|doMock)\(/.test(readFileSync(path.join(here, f), 'utf8')));

/** What all lanes of tests share. Each adds what it includes. */
export const shared = {
  // examples/ import the package by its name; here that is its source, for `dist` may be older.
  resolve: { alias: { quantbench: path.join(here, 'src', 'index.ts') } },
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks', // onnxruntime's native sessions are not in the process that reports, and a crash names its file
    // Files of a process share what they import, which takes 0.7 s a file otherwise.
    poolOptions: { forks: { maxForks: 2, isolate: false } },
    isolate: false,
  },
} satisfies ViteUserConfig;

export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    projects: [
      { extends: true, test: { name: 'files', include, exclude: [...exclude, ...mocking] } },
      { extends: true, test: { name: 'files with mocks', include: mocking, exclude } },
    ],
  },
});
