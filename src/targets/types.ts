import type { QuantScheme } from '../scheme/types.js';

export interface IntegerKernel {
  /** It can also give float, so an output that nobody needs in integers stays float. */
  readonly floatOutput?: boolean;
  /** Most axes of a weight that may have a scale for each channel; beyond, one for all. */
  readonly channelAxes?: number;
}

/** What a runtime runs in integers, and how it wants it written. Data only: every constraint has a source. */
export interface TargetProfile {
  readonly name: string;
  readonly doc: string;
  readonly source: string;
  readonly formats: readonly ('qdq' | 'qoperator' | 'dynamic' | 'coded' | 'weight-only' | 'float16')[];
  readonly maxOpset: number;
  /** What the runtime runs fastest, used where the recipe says nothing. */
  readonly defaults: {
    readonly activations: Omit<QuantScheme, 'granularity'>;
    readonly weights: Omit<QuantScheme, 'granularity'>;
    readonly weightGranularity: 'tensor' | 'channel';
  };
  /**
   * What uint8 × int8 kernels do: `pairs` adds two products in int16 on some of its CPUs, and may saturate; `exact`
   * never does.
   */
  readonly u8s8: 'pairs' | 'exact';
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
  readonly quirks: readonly { readonly code: string; readonly text: string; readonly source: string }[];
}
