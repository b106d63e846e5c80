import type { Granularity, QuantScheme } from './types.js';

/** What a port of an integer kernel takes. */
export interface PortRule {
  readonly types: readonly QuantScheme['dtype'][];
  /** Zero points must be 0. */
  readonly symmetric?: boolean;
  /** The lowest code stays unused: −127..127. */
  readonly narrow?: boolean;
  readonly granularity: readonly Granularity['kind'][];
}

export interface IntegerKernel {
  /** It can also give float, so an output that nobody needs in integers stays float. */
  readonly floatOutput?: boolean;
  /** A product of two activations is computed in float. */
  readonly constantWeight?: true;
  /** Most axes of a weight that may have a scale for each channel; beyond, one for all. */
  readonly channelAxes?: number;
  /** Instead of what holds for all ops. */
  readonly activation?: PortRule;
  readonly weight?: PortRule;
}

/** When a quirk concerns a plan; all that is named must hold. */
export interface QuirkCondition {
  /** Kinds of plans. */
  readonly plans?: readonly string[];
  /** Activations of some layer have one of these types. */
  readonly activations?: readonly string[];
  /** Some integer node is one of these. */
  readonly integerOps?: readonly string[];
  /**
   * Some weight is turned back into floats before it is used, by these ops (all where empty) from these types;
   * `inputsFirst` where its first axis is that of the inputs.
   */
  readonly dequantized?: {
    readonly ops?: readonly string[];
    readonly types?: readonly string[];
    readonly inputsFirst?: true;
  };
  /** Some product has a weight of more axes than its kernel takes scales by channel of, and such scales are wanted. */
  readonly batchedChannels?: true;
  /** Something is wanted that no port takes. */
  readonly beyondPorts?: true;
}
export interface Quirk {
  readonly code: string;
  readonly text: string;
  readonly source: string;
  /** Without one, it is told where it is measured, or in the documentation only. */
  readonly when?: QuirkCondition;
  /** Rules of `quantize lint` that have this source. */
  readonly rules?: readonly string[];
}

/** What a runtime runs in integers, and how it wants it written. Data only: every constraint has a source. */
export interface TargetProfile {
  readonly name: string;
  /** What people call it, in letters and digits: named in the error where a recipe does. */
  readonly aliases?: readonly string[];
  readonly doc: string;
  readonly source: string;
  /** Whether models run in it here, so that latency and kernels may be claimed, or only their numbers are simulated. */
  readonly host: 'here' | 'simulated';
  /** What it runs on, in words. */
  readonly hardware: string;
  /** Whether it is given the ONNX model, or files of its own; the ONNX model then shows what was measured. */
  readonly artefact: 'onnx' | 'files';
  /** Names of the formats that it reads. */
  readonly formats: readonly string[];
  readonly maxOpset: number;
  /** What the runtime runs fastest, used where the recipe says nothing. */
  readonly defaults: {
    readonly activations: Omit<QuantScheme, 'granularity'>;
    readonly weights: Omit<QuantScheme, 'granularity'>;
    readonly weightGranularity: 'tensor' | 'channel';
  };
  /**
   * What uint8 × int8 kernels do: `pairs` adds two products in int16 on some of its CPUs, and may saturate; `any-pairs`
   * too, of weights that are not known to be neighbours, so that they keep to 7 bits; `exact` never does.
   */
  readonly u8s8: 'pairs' | 'any-pairs' | 'exact';
  /** What integer kernels take, where an op says nothing else. */
  readonly ports: { readonly activation: PortRule; readonly weight: PortRule };
  /** What becomes of a node with something beyond its ports: computed in float, or the model is refused. */
  readonly beyondPorts: 'float' | 'refused';
  /** How biases are written: as int32 codes, or left in float. */
  readonly bias: 'int32' | 'float';
  /** What scales may be. Default: any. Powers of two are rounded up, so that nothing that was in range is clipped. */
  readonly scales?: 'any' | 'power-of-two';
  /** Ops whose data inputs and outputs have one scale and zero point, beyond those that pass codes through. */
  readonly sameScale?: readonly string[];
  /** Scale and zero point that a kernel gives its output, by op, for each type of codes that has one. */
  readonly fixedOutputs?: Readonly<
    Record<
      string,
      readonly { readonly dtype: QuantScheme['dtype']; readonly scale: number; readonly zeroPoint: number }[]
    >
  >;
  /**
   * Ops that are added to the result of a product within its kernel, as `Conv > Add`: the product's own result stays
   * float on the way there, and only the other operand gets codes.
   */
  readonly fusedSums?: readonly string[];
  /**
   * What disappears into the output range of the op before it: `Conv Gemm > Relu Clip`, `*` for any op with a kernel.
   */
  readonly fusions: readonly string[];
  /**
   * What float layers read of a tensor that kernels read as codes: the values of its codes, or the tensor as it was
   * made, where each kernel rounds what it reads. Default: codes.
   */
  readonly floatReads?: 'codes' | 'values';
  /**
   * Products between which tensors may have zero points, although ports take symmetric codes: their kernels have them,
   * or a writer folds them into biases. Tensors that anything else makes or reads have none.
   */
  readonly zeroPointsBetween?: readonly string[];
  /** Ops whose float weights the runtime quantizes by itself where a pair stands on each side. */
  readonly quantizesFloat?: readonly string[];
  /** Ops with integer kernels. */
  readonly integerOps: Readonly<Record<string, IntegerKernel>>;
  /** Ops that move or select elements and keep working on codes when a Q/DQ pair surrounds them. */
  readonly passthroughOps: readonly string[];
  /** Of these, the ones that the runtime leaves in float between Q and DQ: they are written directly on the codes. */
  readonly onCodes: readonly string[];
  /** Of these and the passthrough ops, the ones with kernels for 8-bit codes only. */
  readonly byteCodes: readonly string[];
  /**
   * Operators beyond the standard, as `domain:op`, that it has kernels for: `quantize optimize --target` may build
   * them.
   */
  readonly ownOps: readonly { readonly op: string; readonly source: string }[];
  readonly quirks: readonly Quirk[];
}
