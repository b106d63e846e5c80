import type { Pass } from '../rewrite/pass.js';
import { deduplicateExpressions } from './deduplicate-expressions.js';
import { deduplicateInitializers } from './deduplicate-initializers.js';
import { eliminateDead } from './eliminate-dead.js';
import { eliminateIdentity } from './eliminate-identity.js';
import { eliminateNeutral } from './eliminate-neutral.js';
import {
  eliminateCast,
  eliminateConcat,
  eliminateExpand,
  eliminatePad,
  eliminatePool,
  eliminateReduce,
  eliminateReshape,
  eliminateResize,
  eliminateSlice,
  eliminateSplit,
  eliminateSqueeze,
  eliminateTile,
  eliminateTranspose,
} from './eliminate-no-ops.js';
import {
  eliminateCastPair,
  eliminateConcatSlice,
  eliminateQuantizePair,
  eliminateRepeats,
  eliminateReshapePair,
  eliminateSplitConcat,
  eliminateSqueezePair,
  eliminateTransposePair,
  eliminateWhere,
} from './eliminate-pairs.js';
import { eliminateUnusedOutputs } from './eliminate-unused-outputs.js';
import { extractConstants } from './extract-constants.js';
import {
  foldBatchNormConv,
  foldBatchNormConvTranspose,
  foldBatchNormGemm,
  foldBatchNormMatmul,
} from './fold-batch-norm.js';
import { foldBiasAdd, foldBiasAddGemm, foldBiasAddTranspose } from './fold-bias-add.js';
import { foldConstants, foldLargeConstants } from './fold-constants.js';
import { foldIf } from './fold-if.js';
import { foldLoop } from './fold-loop.js';
import { foldShapes } from './fold-shapes.js';
import { mergeCasts } from './merge-casts.js';
import { mergeClips } from './merge-clips.js';
import { mergeAdditions, mergeMultiplications } from './merge-constants.js';
import { mergePads } from './merge-pads.js';
import { mergeRanges } from './merge-ranges.js';
import { mergeSlices } from './merge-slices.js';
import { mergeReshapes, mergeTransposes } from './merge-views.js';
import { withRaisedOpset } from './raise-opset.js';
import { annotations, byName, floatFusions, fusions, replacements, targetFusions } from './fusions.js';
import { liftInitializers } from './lift-initializers.js';
import { moveGatherConcat, moveSliceConcat } from './move-concat.js';
import { moveReshapes } from './move-reshapes.js';
import { moveSelections } from './move-selections.js';
import { sinkTransposes } from './sink-transposes.js';

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

/** Nodes that give back a value that is there already. */
const eliminations: readonly Pass[] = [
  eliminateCast,
  eliminateSlice,
  eliminateExpand,
  eliminateTile,
  eliminatePad,
  eliminateReshape,
  eliminateTranspose,
  eliminateResize,
  eliminateConcat,
  eliminateSplit,
  eliminatePool,
  eliminateSqueeze,
  eliminateReduce,
  eliminateNeutral,
  eliminateTransposePair,
  eliminateSqueezePair,
  eliminateReshapePair,
  eliminateCastPair,
  eliminateQuantizePair,
  eliminateConcatSlice,
  eliminateSplitConcat,
  eliminateRepeats,
  eliminateWhere,
];
/** Two nodes of a kind that one can do. */
const merges: readonly Pass[] = [
  sinkTransposes,
  moveSelections,
  moveReshapes,
  moveGatherConcat,
  moveSliceConcat,
  mergeTransposes,
  mergeReshapes,
  mergeCasts,
  mergePads,
  mergeClips,
  mergeMultiplications,
  mergeAdditions,
  mergeSlices,
  mergeRanges,
];
const constants: readonly Pass[] = [extractConstants, eliminateIdentity, foldIf, foldLoop, foldShapes, foldConstants];
const weights: readonly Pass[] = [
  foldBatchNormConv,
  foldBatchNormConvTranspose,
  foldBatchNormGemm,
  foldBatchNormMatmul,
  foldBiasAdd,
  foldBiasAddTranspose,
  foldBiasAddGemm,
];
const remains: readonly Pass[] = [
  deduplicateInitializers,
  deduplicateExpressions,
  eliminateUnusedOutputs,
  eliminateDead,
];

/**
 * What `quantize optimize` runs, by level. basic computes constants and removes what does nothing; default also takes
 * the defaults of inputs for constants, merges nodes, folds them into weights and fuses what exporters took apart, but
 * for what would take an op with an integer kernel away; aggressive does that too, and computes constants that make the
 * file larger.
 */
export const optimizing = {
  basic: [...constants, ...eliminations, ...remains],
  default: [
    liftInitializers,
    ...annotations,
    ...constants,
    ...eliminations,
    ...weights,
    ...merges,
    ...withRaisedOpset([...fusions, ...replacements]),
    ...remains,
  ],
  aggressive: [
    liftInitializers,
    ...annotations,
    ...constants,
    foldLargeConstants,
    ...eliminations,
    ...weights,
    ...merges,
    ...withRaisedOpset([...fusions, ...floatFusions, ...replacements]),
    ...targetFusions,
    ...remains,
  ],
} satisfies Readonly<Record<string, readonly Pass[]>>;
export type OptimizeLevel = keyof typeof optimizing;

/** Every pass of any list, once by name, in the order in which the most thorough level runs them. */
export const everyPass: readonly Pass[] = [
  ...new Map(
    [...optimizing.aggressive, ...Object.values(optimizing).flat(), ...cleaning, ...byName]
      .reverse()
      .map((p) => [p.name, p]),
  ).values(),
].reverse();
