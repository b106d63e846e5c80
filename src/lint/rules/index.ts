import type { LintRule } from '../types.js';
import { foreignOperators, nothingQuantized, onCodes, opset, padConstants } from './operators.js';
import { floatResidual, halfQuantized, mixedInputs, quantizedOutputs, splitFusion, splitSum } from './placement.js';
import { fixedOutputs, powersOfTwo, sameScale, scaleAxes, scaleValues } from './scales.js';
import { biases, codeTypes, narrowWeights, zeroPoints } from './types.js';

/** Every rule. */
export const rules: readonly LintRule[] = [
  opset,
  foreignOperators,
  onCodes,
  padConstants,
  codeTypes,
  zeroPoints,
  biases,
  narrowWeights,
  scaleValues,
  scaleAxes,
  powersOfTwo,
  sameScale,
  fixedOutputs,
  nothingQuantized,
  halfQuantized,
  splitFusion,
  splitSum,
  floatResidual,
  mixedInputs,
  quantizedOutputs,
];
