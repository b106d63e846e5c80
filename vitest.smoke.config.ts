import { defineConfig } from 'vitest/config';
import { shared } from './vitest.config.js';

/** `npm run smoke`: the broadest of the fast tests, and the demo from recipe to record. Seconds, not minutes. */
export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    include: [
      'test/{smoke,architecture,registry,docs-links}.test.ts',
      'test/conformance/facets/{facets,links}.test.ts',
      'test/rooms/base/*.test.ts',
      'test/rooms/gate/gates.test.ts',
      'test/rooms/ir/*.test.ts',
      'test/rooms/ops/squeeze.test.ts',
      'test/rooms/quantize/{filter,overrides}.test.ts',
      'test/rooms/recipe/load.test.ts',
      'test/rooms/rewrite/builder.test.ts',
      'test/rooms/scheme/rounding.test.ts',
      'test/rooms/text/text.test.ts',
    ],
  },
});
