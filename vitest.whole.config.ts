import { defineConfig } from 'vitest/config';
import { shared } from './vitest.config.js';

/** `npm run check:whole`: whole programs and their processes: the examples, plug-ins through `auto`, faults, the fuzzer, planted errors. */
export default defineConfig({
  ...shared,
  test: { ...shared.test, include: ['test/whole/**/*.test.ts'] },
});
