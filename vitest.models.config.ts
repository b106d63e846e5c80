import { defineConfig } from 'vitest/config';
import { shared } from './vitest.config.js';

/** The slow lane: real models, backend suites, memory and determinism checks. One file at a time, each in its process. */
export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    include: ['test/models/**/*.test.ts'],
    testTimeout: 900_000,
    hookTimeout: 900_000,
    isolate: true,
    poolOptions: {},
    fileParallelism: false,
  },
});
