import type { z } from 'zod';
import type { QuantizedGraph } from '../scheme/quantized.js';

/** What a file is for: a runtime loads models, which size gates weigh; sidecars go with them. */
export type FileRole = 'model' | 'sidecar';

/** A file of the output folder. `path` is a plain name. */
export interface ExportedFile {
  readonly path: string;
  readonly role: FileRole;
  readonly data: Uint8Array | string;
}

/** Writes a quantized graph for a runtime that does not read it as ONNX. The graph stays as it is. */
export interface Exporter<O = unknown> {
  readonly name: string;
  readonly doc: string;
  /** Strict zod object with a default and a description for each key. */
  readonly options: z.ZodType<O>;
  /**
   * The files, at least one; the same graph gives the same bytes. Where one of them is a model, it ships instead of the
   * ONNX model, which stays beside it as what was measured. Throws EXPORT_UNSUPPORTED for what it cannot express, by
   * node or tensor.
   */
  export(graph: QuantizedGraph, options: O): readonly ExportedFile[];
}
