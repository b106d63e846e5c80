import type { Rule } from '../layer-writer.js';
import { conv, convTranspose } from './conv.js';
import { elementwise } from './elementwise.js';
import { moves } from './moves.js';
import { norms } from './norms.js';
import { averagePool, globalAveragePool, globalMaxPool, maxPool } from './pool.js';
import { gemm, matMul } from './products.js';
import { reductions } from './reductions.js';
import { resize } from './resize.js';

/** How operators of the standard domain are written, by name. */
export const rules: Readonly<Record<string, Rule | undefined>> = {
  ...elementwise,
  ...moves,
  ...reductions,
  ...norms,
  Conv: conv,
  ConvTranspose: convTranspose,
  MatMul: matMul,
  Gemm: gemm,
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalAveragePool,
  GlobalMaxPool: globalMaxPool,
  Resize: resize,
  Upsample: resize,
};
