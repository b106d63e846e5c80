import { magnitude } from './magnitude.js';
import { sparsegpt } from './sparsegpt.js';
import type { SparsityMethod } from './types.js';
import { wanda } from './wanda.js';

/** Every way to choose which weights become zero, by name in recipes. */
export const sparsityMethods: readonly SparsityMethod<unknown>[] = [magnitude, wanda, sparsegpt];
