/** What quantization-aware training is asked for, and what it gives back. */
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { Tensor } from '../ir/tensor.js';
import type { Coded } from '../scheme/codings/types.js';
import type { LearnedScales, QuantParams, QuantPoint } from '../scheme/types.js';

export interface FakeQuantOptions {
  /** What of the grids is learned. Default: lsq. */
  readonly scales?: LearnedScales;
  /**
   * How far a step of the optimiser moves a step size. gradient: by its gradient over √(elements × highest code), as
   * LSQ does, for optimisers that step by the size of gradients. relative: by a share of itself, for those that do not
   * (Adam). Default: gradient.
   */
  readonly steps?: 'gradient' | 'relative';
  /** Where step sizes of weights start: where the squared error of the weights is least (the default), or as given. */
  readonly start?: 'least-error' | 'given';
  /** Weights that are zero stay zero. Default: false. */
  readonly keepZeros?: boolean;
  /** Codes that weights start from. Default: those that their coding chooses. */
  readonly coded?: ReadonlyMap<QuantPoint, Coded>;
}

/** Something that a step of training may change: an initializer of the model. */
export interface QatParameter {
  readonly name: string;
  readonly kind: 'weight' | 'bias' | 'step size' | 'zero point' | 'levels';
}

/** What training made of the planned model. */
export interface Trained {
  /** New data of weights and biases, by the values of the planned model. */
  readonly weights: ReadonlyMap<Value, Tensor>;
  /** New parameters of all points but those of biases, which follow from them. */
  readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  /** Codes of weights that a coding stores. */
  readonly coded: ReadonlyMap<QuantPoint, Coded>;
}

export interface FakeQuantized {
  /** A float model that computes what the integer model will; initializers are as in the planned model, or new. */
  readonly model: Model;
  readonly parameters: readonly QatParameter[];
  /** Values that gradients must not pass: see `constants` of gradients(). */
  readonly constants: readonly string[];
  /** What values of the parameters mean; those that are not given are as at the start. */
  trained(values: ReadonlyMap<string, Tensor>): Trained;
}
