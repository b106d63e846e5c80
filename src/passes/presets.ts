import type { Pass } from '../rewrite/pass.js';
import { eliminateDead } from './eliminate-dead.js';
import { eliminateIdentity } from './eliminate-identity.js';
import { extractConstants } from './extract-constants.js';
import { foldBatchNormConv, foldBatchNormConvTranspose, foldBatchNormGemm } from './fold-batch-norm.js';
import { foldBiasAdd, foldBiasAddTranspose } from './fold-bias-add.js';
import { foldConstants } from './fold-constants.js';
import { foldShapes } from './fold-shapes.js';
import { mergeSlices } from './merge-slices.js';
import { liftInitializers } from './lift-initializers.js';

/** What quantization needs of a graph, in order: constants first, then shapes, then what they uncover. */
export const cleaning: readonly Pass[] = [
  liftInitializers,
  extractConstants,
  eliminateIdentity,
  foldShapes,
  foldConstants,
  foldBatchNormConv,
  foldBatchNormConvTranspose,
  foldBatchNormGemm,
  foldBiasAdd,
  foldBiasAddTranspose,
  mergeSlices,
  eliminateDead,
];
