import { bfloat16, float16, float8e4m3, float8e5m2, mx, nvfp4 } from './floats.js';
import { integer } from './integer.js';
import { kMeans } from './k-means.js';
import { additivePowerOfTwo, binary, logarithmic, powerOfTwo, ternary } from './levels.js';
import type { Coding } from './types.js';

/** Every way to store weights that format `coded` knows, by name in recipes. */
export const codings: readonly Coding<unknown>[] = [
  integer,
  float16,
  bfloat16,
  float8e4m3,
  float8e5m2,
  mx,
  nvfp4,
  kMeans,
  powerOfTwo,
  additivePowerOfTwo,
  logarithmic,
  ternary,
  binary,
];
