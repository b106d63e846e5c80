import type { Pass } from '../rewrite/pass.js';
import { fuseGelu, fuseGeluTanh } from './fuse-gelu.js';
import { fuseParallelMatmul } from './fuse-parallel-matmul.js';
import { fuseScale } from './fuse-scale.js';

/** Several nodes into one of fewer, none of which takes an op with an integer kernel away from quantization. */
export const fusions: readonly Pass[] = [
  fuseGelu,
  fuseGeluTanh,
  fuseScale,
  fuseParallelMatmul,
];

/** Fusions that trade ops with integer kernels for a float one: smaller graphs, but not for quantization. */
export const floatFusions: readonly Pass[] = [];

/** One op for another that is cheaper or better supported. */
export const replacements: readonly Pass[] = [];
