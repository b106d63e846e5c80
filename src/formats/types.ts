import type { Diagnostic } from '../base/errors.js';
import type { DType } from '../ir/dtype.js';
import type { Model, Node, Value } from '../ir/graph.js';
import type { QuantParams, QuantPlan, QuantPoint, QuantScheme } from '../scheme/types.js';

/** What planning decided; see quantize/plan.ts, which makes it. */
export interface FormatPlan {
  readonly plan: QuantPlan;
  readonly integerNodes: ReadonlySet<Node>;
  readonly weightOnlyNodes: ReadonlySet<Node>;
  readonly fusedClamps: ReadonlyMap<Node, Node>;
  /** How weight-only nodes are written. */
  readonly weightOnly?: WeightOnlyForm;
  readonly nearZero?: ReadonlyMap<Value, ReadonlySet<Node>>;
}
/** Operators beyond the standard that may be used for quantized weights. */
export interface WeightOnlyForm {
  readonly matMulNBits: boolean;
  readonly gatherBlockQuantized: boolean;
  /** Attribute accuracy_level of MatMulNBits; 0 is left out. */
  readonly accuracyLevel: number;
}
/** Extremes of a tensor over all samples, one for each channel; see calibrate/types.ts. */
export interface Extremes {
  readonly count: number;
  readonly min: Float64Array;
  readonly max: Float64Array;
}
export interface FormatInput {
  readonly model: Model;
  readonly planned: FormatPlan;
  readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  readonly target: { readonly onCodes: readonly string[]; readonly byteCodes?: readonly string[] };
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
