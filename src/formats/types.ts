import type { TargetProfile } from '../scheme/profile.js';
import type { Diagnostic } from '../base/errors.js';
import type { DType } from '../ir/dtype.js';
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { Coded } from '../scheme/codings/types.js';
import type { LowRankTerm, Extremes, Planned } from '../scheme/quantized.js';
import type { QuantParams, QuantPoint, QuantScheme } from '../scheme/types.js';

export interface FormatInput {
  readonly model: Model;
  readonly planned: Pick<
    Planned,
    'plan' | 'integerNodes' | 'weightOnlyNodes' | 'fusedClamps' | 'weightOnly' | 'nearZero' | 'tied' | 'rowWise'
  >;
  readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  readonly target: {
    readonly onCodes: readonly string[];
    readonly byteCodes?: readonly string[];
    readonly floatReads?: TargetProfile['floatReads'];
    readonly quantizesFloat?: readonly string[];
  };
  /** Codes of weights that a coding stores, where they were chosen otherwise than by it. */
  readonly coded?: ReadonlyMap<QuantPoint, Coded>;
  /** What is added to products with quantized weights, by weight; formats of weights alone write it. */
  readonly lowRank?: ReadonlyMap<QuantPoint, LowRankTerm>;
  /** What calibration saw, where the format is calibrated. */
  readonly stats?: ReadonlyMap<Value, Extremes>;
  readonly report?: (d: Diagnostic) => void;
  /** Seed of stochastic rounding. */
  readonly seed: number;
}
/**
 * Where a tensor of the float model is after the rewrite: as codes of these parameters, or, without them, as floats.
 */
export interface TensorPlace {
  readonly value: Value;
  readonly params?: QuantParams;
  /** Of floats that are not float32. */ readonly dtype?: DType;
}
export interface Rewritten {
  readonly changes: number;
  /**
   * By the name in the float model: tensors that are now codes, or floats under another name. Some may have no use left
   * and be gone.
   */
  readonly tensors: ReadonlyMap<string, TensorPlace>;
}
/** A way to write a quantized model. `rewrite` changes the model in place. */
export interface Format {
  readonly name: string;
  readonly doc: string;
  /** How it is planned: static needs statistics of activations, the others only look at weights. */
  readonly plan: 'static' | 'dynamic' | 'coded' | 'weight-only' | 'half' | 'none';
  /** Lowest opset of the standard domain that can express these schemes. */
  minOpset(schemes: readonly QuantScheme[]): number;
  rewrite(input: FormatInput): Rewritten;
}
