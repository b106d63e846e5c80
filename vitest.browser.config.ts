import { defineConfig } from 'vitest/config';
import { shared } from './vitest.config.js';

/**
 * `npm run check:browser`: reports as people see them, in a real Chromium. Skips, and says so, where there is none.
 * One file after the other: a page's time is held against a bar.
 */
export default defineConfig({
  ...shared,
  test: { ...shared.test, include: ['test/browser/**/*.test.ts'], fileParallelism: false },
});
