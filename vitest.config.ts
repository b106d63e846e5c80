import path from 'node:path';
import { defineConfig, type ViteUserConfig } from 'vitest/config';

const here = import.meta.dirname;

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
    include: ['test/**/*.test.ts'],
    exclude: ['test/models/**', 'test/browser/**', 'node_modules/**'],
  },
});
