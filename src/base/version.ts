import { createRequire } from 'node:module';

/** The version of quantbench, from its package.json. */
// package.json always has a version
export const version = (createRequire(import.meta.url)('../../package.json') as { version: string }).version;
