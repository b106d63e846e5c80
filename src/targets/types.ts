import type { PixelValues } from '../data/preprocess.js';
import type { ExportedFile } from '../exporters/types.js';
import type { Feed } from '../ir/feed.js';
import type { Model } from '../ir/model.js';
import type { TargetProfile } from '../scheme/profile.js';
import type { QuantizedGraph } from '../scheme/quantized.js';

/** What a model is written with where nothing is quantized. */
export const PRECISIONS = ['float32', 'float16'] as const;
export type Precision = (typeof PRECISIONS)[number];

/** What an emitter is given. */
export interface EmitInput {
  /** The float model with all that was decided; nothing is planned where only the form changes. */
  readonly graph: QuantizedGraph;
  /** The ONNX model of the same codes, as it was measured; the float model where nothing is planned. */
  readonly onnx: Model;
  /** What weights that are not quantized are stored as. */
  readonly precision: Precision;
  /** Inputs of one run: files with fixed sizes have these, with a batch of one. */
  readonly example: Feed;
  /** The calibration samples again, for converters that calibrate themselves; none where there are no data. */
  readonly samples: () => AsyncIterable<Feed>;
  /** Milliseconds of a run by samples in it, as measured here, for servers that batch; none where nothing was. */
  readonly latency: ReadonlyMap<number, number>;
  /** How pixels become the one input of the model, where a recipe declares it. */
  readonly pixels?: PixelValues;
  /** Name of the model: letters, digits and . _ - */
  readonly name: string;
}

/** A node that the runtime computes in float, or elsewhere, and why. */
export interface StaysFloat {
  readonly node: string;
  readonly op: string;
  readonly because: string;
}
export interface Emitted {
  /**
   * Paths may have folders, `1/model.onnx`. What the runtime loads has the role `model`; the same graph gives the same
   * bytes.
   */
  readonly files: readonly ExportedFile[];
  /** What is loaded, where that is not the first file of role `model`: `.` for the whole folder. */
  readonly artefact?: string;
  /** Beyond what planning left in float. */
  readonly floats: readonly StaysFloat[];
  /** A sentence for README.md: what else is in the folder. */
  readonly note?: string;
}

/** Writes what a runtime loads, where that is not the ONNX model alone. The graph stays as it is. */
export interface Emitter {
  /** In which precisions it writes models without quantization. */
  readonly precisions: readonly Precision[];
  /** Samples in a run, whose latency it wants to know. */
  readonly timedBatches?: readonly number[];
  /**
   * Why the runtime cannot take a node of the float model, before any work is done; undefined where it can.
   */
  refuses(graph: Pick<QuantizedGraph, 'model' | 'planned'>): readonly StaysFloat[];
  /** Throws EXPORT_UNSUPPORTED for what it cannot express, by node or tensor. */
  emit(input: EmitInput): Emitted | Promise<Emitted>;
}

/** How a program loads the artefact, in a language of its users. `{model}` stands for the file that is loaded. */
export interface Usage {
  readonly language: string;
  readonly code: readonly string[];
}

/**
 * How the artefact is run for `quantize verify`: by `adapter.py` in the folder of the target, in an
 * environment that has
 * these Python packages, or by onnxruntime of npm.
 */
export type Adapter =
  | { readonly kind: 'python'; readonly packages: readonly string[] }
  | { readonly kind: 'npm'; readonly packages: readonly ['onnxruntime-node'] };

/** A runtime: what it runs, as data, and how it is given a model. */
export interface Target extends TargetProfile {
  readonly emitter?: Emitter;
  readonly usage?: readonly Usage[];
  /** Without one, nothing can be verified: the runtime does not run on plain machines. */
  readonly adapter?: Adapter;
}
