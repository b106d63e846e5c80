import type { Pass } from '../rewrite/pass.js';
import { foldSharedWeights } from './fold-constants.js';
import { fuseHardSigmoid, fuseHardSwish, fuseHardSwishClip, fuseMish, fuseSwish } from './fuse-activations.js';
import { fuseAttention } from './fuse-attention.js';
import { fuseAttentionHeads } from './fuse-attention-heads.js';
import {
  fuseChannelScaleConv,
  fuseChannelScaleConvTranspose,
  fuseChannelScaleGemm,
  fuseChannelScaleMatmul,
} from './fuse-channel-scale.js';
import { fuseConvActivation, fuseConvAddActivation } from './fuse-conv-activation.js';
import { fuseGelu, fuseGeluTanh } from './fuse-gelu.js';
import { fuseGroupNorm } from './fuse-group-norm.js';
import { fuseGroupQueryAttention } from './fuse-group-query-attention.js';
import { fuseInstanceNorm, fuseLayerNorm, fuseLayerNormMoments } from './fuse-layer-norm.js';
import { fuseLeakyRelu, fusePrelu } from './fuse-leaky-relu.js';
import { fuseLinearConv, fuseLinearGemm, fuseLinearMatmul } from './fuse-linear.js';
import { fuseMatmulAdd } from './fuse-matmul-add.js';
import {
  fuseBatchNormAffine,
  fuseGroupNormAffine,
  fuseInstanceNormAffine,
  fuseLayerNormAffine,
  fuseRmsNormScale,
} from './fuse-norm-affine.js';
import { fusePadAveragePool, fusePadConv, fusePadMaxPool } from './fuse-pad.js';
import { fuseParallelMatmul } from './fuse-parallel-matmul.js';
import { fuseRmsNorm } from './fuse-rms-norm.js';
import { fuseRotary } from './fuse-rotary.js';
import { fuseScale } from './fuse-scale.js';
import { fuseLogSoftmax, fuseSoftmax } from './fuse-softmax.js';
import { fuseSplitConv } from './fuse-split-conv.js';
import { fuseTransposeProduct } from './fuse-transpose-product.js';
import { fuseTransposeReshape } from './fuse-transpose-reshape.js';
import { nameSizes } from './name-sizes.js';
import { replaceDivision, replacePrelu, replaceSquare, replaceSubtraction } from './replace-arithmetic.js';
import { replaceBatchNorm } from './replace-batch-norm.js';
import { replaceConv, replaceLinear } from './replace-linear.js';
import { replaceMean } from './replace-mean.js';
import { replaceUpsample } from './replace-upsample.js';

/** Several nodes into fewer, none of which takes an op with an integer kernel away from quantization. */
export const fusions: readonly Pass[] = [
  fuseGelu,
  fuseGeluTanh,
  fuseMish,
  fuseHardSwish,
  fuseLeakyRelu,
  fuseLayerNorm,
  fuseLayerNormMoments,
  fuseInstanceNorm,
  fuseRmsNorm,
  fuseLayerNormAffine,
  fuseInstanceNormAffine,
  fuseBatchNormAffine,
  fuseRmsNormScale,
  fuseSoftmax,
  fuseLogSoftmax,
  fusePadConv,
  fusePadAveragePool,
  fusePadMaxPool,
  fuseChannelScaleConv,
  fuseChannelScaleConvTranspose,
  fuseChannelScaleMatmul,
  fuseChannelScaleGemm,
  fuseSplitConv,
  fuseLinearConv,
  fuseLinearGemm,
  fuseLinearMatmul,
  fuseScale,
  fuseMatmulAdd,
  fuseParallelMatmul,
  fuseTransposeReshape,
  fuseTransposeProduct,
];

/** What lets other passes see more: before fold-shapes. */
export const annotations: readonly Pass[] = [nameSizes];

/** Fusions that trade ops with integer kernels for a float one: smaller graphs, but not for quantization. */
export const floatFusions: readonly Pass[] = [
  fuseHardSwishClip,
  fuseHardSigmoid,
  fuseSwish,
  fusePrelu,
  fuseGroupNorm,
  fuseGroupNormAffine,
  fuseRotary,
  fuseAttention,
  fuseAttentionHeads,
];

/** Fusions into operators that only some targets have. */
export const targetFusions: readonly Pass[] = [fuseConvAddActivation, fuseConvActivation];

/**
 * One op for another that is cheaper or better supported. After the fusions, whose patterns know the ops as exporters
 * write them.
 */
export const replacements: readonly Pass[] = [
  replaceSquare,
  replaceDivision,
  replaceSubtraction,
  replacePrelu,
  replaceMean,
  replaceLinear,
  replaceConv,
  replaceUpsample,
];

/** What no level runs, for it helps some uses and harms others: `--passes` asks for it. */
export const byName: readonly Pass[] = [replaceBatchNorm, foldSharedWeights, fuseGroupQueryAttention];
