import path from 'node:path';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // examples/ import the package by its name; here that is its source, for `dist` may be older.
  resolve: { alias: { quantbench: path.join(import.meta.dirname, 'src', 'index.ts') } },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/models/**', 'node_modules/**'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks', // onnxruntime's native sessions stay apart, and a crash names its file
    poolOptions: { forks: { maxForks: 2 } },
  },
});
