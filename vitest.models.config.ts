import { defineConfig } from 'vitest/config';

/** The slow lane: real models, backend suites, memory and determinism checks. One file at a time. */
export default defineConfig({
  test: {
    include: ['test/models/**/*.test.ts'],
    testTimeout: 900_000,
    hookTimeout: 900_000,
    pool: 'forks',
    fileParallelism: false,
  },
});
