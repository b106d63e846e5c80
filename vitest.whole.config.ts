import { defineConfig } from 'vitest/config';
import { shared } from './vitest.config.js';

/**
 * `npm run check:whole`: whole programs: searches, `auto` and `compare`, the examples, plug-ins, faults, the fuzzer, planted
 * errors, tensors at the edges of float32.
 */
export default defineConfig({
  ...shared,
  test: { ...shared.test, include: ['test/whole/**/*.test.ts'] },
});
