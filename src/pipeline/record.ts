/**
 * RunRecord: everything that a run measured and decided, as plain JSON. Reports, comparisons and gates read this and
 * nothing else. Numbers are in the units that the names say; ratios are quantized ÷ float; absent means not measured.
 */
import type { Diagnostic } from '../base/errors.js';
import type { EnvironmentFacts } from '../runtime/environment.js';

export interface RunRecord {
  readonly schema: 1;
  readonly quantbench: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly durationMs: number;
  readonly outcome: 'ok' | 'failed';
  readonly recipe: { readonly name: string; readonly file?: string; /** Every key with its value after defaults and flags. */ readonly resolved: unknown; /** The resolved recipe as YAML, to run again. */ readonly yaml: string };
  readonly environment: Environment;
  readonly seeds: Readonly<Record<string, number>>;
  readonly model: { readonly float: ModelFacts; readonly quantized?: ModelFacts };
  readonly stages: readonly Stage[];
  readonly passes: readonly { readonly pass: string; readonly changes: number; readonly nodesBefore: number; readonly nodesAfter: number }[];
  readonly calibration?: CalibrationFacts;
  readonly points: readonly PointFacts[];
  readonly nodes: readonly NodeFacts[];
  readonly runtime?: RuntimeFacts;
  readonly evaluation?: EvaluationFacts;
  readonly latency?: LatencyFacts;
  readonly diagnostics: readonly Diagnostic[];
  /** Paths relative to the output folder. */
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
}

/** What of the machine decides integer speed and accuracy. */
export type Environment = EnvironmentFacts;

export interface ModelFacts {
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly parameters: number;
  readonly nodes: number;
  readonly opset: number;
  readonly irVersion: number;
  readonly macs: number | undefined;
  readonly inputs: readonly { readonly name: string; readonly dtype: string; readonly shape: readonly (number | string | null)[] }[];
  readonly outputs: readonly { readonly name: string; readonly dtype: string; readonly shape: readonly (number | string | null)[] }[];
}

export interface Stage { readonly name: string; readonly ms: number; readonly summary: string }

export interface CalibrationFacts {
  readonly samples: number;
  readonly batches: number;
  readonly tensors: number;
  readonly observer: string;
  readonly cache: 'off' | 'miss' | 'hit' | 'resumed';
  readonly data: unknown;
  readonly sampling: string;
  readonly nonFinite: readonly { readonly tensor: string; readonly sample: string; readonly nan: number; readonly inf: number }[];
  readonly skippedSamples: number;
  readonly overlapWithEvaluation: readonly (readonly [calibration: string, evaluation: string])[];
}

/** One quantization point: a tensor, or one edge of a node. */
export interface PointFacts {
  readonly name: string;
  readonly role: 'activation' | 'weight' | 'bias';
  readonly kind: 'observed' | 'fixed' | 'shared' | 'derived' | 'float';
  readonly because: string;
  readonly dtype?: string;
  readonly symmetric?: boolean;
  readonly granularity?: string;
  readonly observer?: string;
  /** What calibration saw. */
  readonly observedMin?: readonly number[];
  readonly observedMax?: readonly number[];
  readonly count?: number;
  /** What was chosen. Per channel: one entry a channel. */
  readonly min?: readonly number[];
  readonly max?: readonly number[];
  readonly scale?: readonly number[];
  readonly zeroPoint?: readonly number[];
  /** At most 128 bins over [low, high], for the report's histogram. */
  readonly histogram?: { readonly low: number; readonly high: number; readonly counts: readonly number[] };
  /** Share of the observed values outside of the chosen range. */
  readonly clipped?: number;
}

/** A node with multiply-accumulates or a place in a chain: where it runs. */
export interface NodeFacts {
  readonly name: string;
  readonly op: string;
  readonly macs: number;
  readonly planned: 'integer' | 'float';
  readonly because?: string;
  /** What onnxruntime made of it: the kernel in its optimized graph, or undefined where it cannot be told. */
  readonly kernel?: string;
  readonly ranInteger?: boolean;
}

/** Read from onnxruntime's own optimized graph of the quantized model. */
export interface RuntimeFacts {
  readonly integerMacsShare: number;
  readonly ops: Readonly<Record<string, number>>;
  /** Quantize or dequantize nodes that stayed beside a float compute op, by name. */
  readonly unfused: readonly string[];
  readonly floatCompute: readonly string[];
}

export interface MetricFacts {
  readonly name: string;
  readonly unit: string;
  readonly float: number | undefined;
  readonly quantized: number;
  readonly change: number | undefined;
  /** 95 % confidence interval of the change. */
  readonly interval?: readonly [number, number];
  readonly higherIsBetter: boolean;
}
export interface EvaluationFacts {
  readonly samples: number;
  readonly metrics: readonly MetricFacts[];
  /** Same sample, both models: how often the top class agrees, and which way it flipped. */
  readonly agreement?: { /** Share, 0…1. */ readonly same: number; readonly rightToWrong?: number; readonly wrongToRight?: number; readonly mcnemarP?: number };
  readonly outputs: readonly OutputFacts[];
  readonly data: unknown;
}

/** How far one output of the quantized model is from the float model's, over all samples. Elements that are not finite are left out and counted. */
export interface OutputFacts {
  readonly name: string;
  /** 1 where both are all zero, 0 where one is. */
  readonly cosine: number;
  /** 10 log10(Σ float² ÷ Σ error²); absent where there is no error, or no signal. */
  readonly sqnrDb?: number;
  readonly mse: number;
  readonly maxAbsError: number;
  /** NaN or infinite elements; absent where there are none. */
  readonly nonFinite?: { readonly float: number; readonly quantized: number };
  /** Batches whose output had another shape than the float model's (detections, say), left out; absent where there are none. */
  readonly otherShape?: number;
}

export interface Percentiles { readonly p50: number; readonly p90: number; readonly p99: number; readonly mean: number }
export interface LatencyFacts {
  readonly threads: number;
  readonly runs: number;
  readonly warmup: number;
  readonly batch: number;
  readonly inputShapes: Readonly<Record<string, readonly number[]>>;
  readonly floatMs: Percentiles;
  readonly quantizedMs: Percentiles;
  /** Median of the pairwise float ÷ quantized ratios: above 1 is faster. */
  readonly speedup: number;
  /** 95 % interval of that median. */
  readonly speedupInterval?: readonly [number, number];
}
