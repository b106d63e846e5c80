/**
 * The one error type that quantbench throws on purpose, and the list of every code it may carry.
 * A code's prefix decides the process exit code (see {@link exitCodeOf}); docs/errors.md is generated from the list.
 */

/** What is wrong, by code. Keep each prefix's codes together and sorted. */
export const ERROR_CODES = {
  CALIBRATION_CHANNELS: 'A tensor observed per channel changed its number of channels, or has no such axis.',
  CALIBRATION_EMPTY: 'Calibration saw no sample, so no range can be chosen.',
  CALIBRATION_NON_FINITE: 'A tapped tensor held NaN or infinity and the policy is to fail.',
  DATA_FORMAT: 'A data file is malformed: wrong header, type, order or length.',
  DATA_IMAGE: 'An image file cannot be decoded, or is larger than the pixel limit.',
  DATA_LABEL: 'A label is missing, unknown or out of range.',
  DATA_MISSING: 'A data file or folder does not exist or holds no sample.',
  DATA_MODULE: 'A user data module failed to load or yielded something that is not a feed.',
  DATA_SHAPE: 'A sample does not have the shape or type that the model input needs.',
  DATA_UNSAFE: 'A data archive tries to leave its folder or expands beyond the limit.',
  GRAPH_CYCLE: 'The graph has a cycle.',
  GRAPH_INVALID: 'The graph breaks an invariant: undefined or duplicate names, dangling values, mismatched sizes.',
  GRAPH_TEXT: 'ONNX text could not be parsed.',
  INTERNAL: 'A bug in quantbench.',
  MODEL_CHANGED: 'The model file or a data file of it changed during the run.',
  MODEL_EMPTY: 'The model has no graph, no node or no output.',
  MODEL_EXTERNAL_DATA: 'External tensor data are missing, out of range, or outside the folder of the model.',
  MODEL_FORMAT: 'The file is not an ONNX model: truncated, garbage, or another format.',
  MODEL_LIMIT: 'The model exceeds a safety limit (nesting depth, lengths, element counts).',
  MODEL_MISSING: 'The model file does not exist or cannot be read.',
  MODEL_QUANTIZED: 'The model is already quantized.',
  MODEL_RUNTIME: 'onnxruntime refused to load or to run the model.',
  MODEL_TENSOR: 'A tensor of the model is invalid: size against dims, unknown type, NaN or infinite weights.',
  MODEL_UNSUPPORTED: 'The model uses something that this operation cannot handle.',
  OPTIMIZE_VERIFY: 'The optimized model does not load, or does not give the outputs of the original.',
  OUTPUT_WRITE: 'An output file could not be written.',
  QUANTIZE_COLLAPSED: 'The quantized model no longer agrees with the float model.',
  QUANTIZE_NOTHING: 'Nothing in the model could be quantized under this recipe.',
  QUANTIZE_VERIFY: 'The quantized model did not pass verification in onnxruntime.',
  RECIPE_FORMAT: 'The recipe is not valid YAML of the accepted subset.',
  RECIPE_INVALID: 'A recipe value has the wrong type or range.',
  RECIPE_MISSING: 'The recipe file does not exist or cannot be read.',
  RECIPE_UNKNOWN_KEY: 'The recipe has a key that does not exist.',
  RECIPE_UNKNOWN_NAME: 'The recipe names an observer, metric, target, op or tensor that does not exist.',
  STORE_DAMAGED: 'The log or a stored file of a store is not what was written.',
  STORE_LOCKED: 'Another process holds the lock of the store for too long.',
  STORE_REFUSED: 'The store refuses a change: no passing gate, a skipped stage, or nothing to roll back to.',
  STORE_UNKNOWN: 'The store, or a name, version or stage in it, does not exist.',
  USAGE: 'The command line is wrong.',
} as const;
export type ErrorCode = keyof typeof ERROR_CODES;

/** Where a problem is: any of a file position, a node, a tensor. */
export interface Where {
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly offset?: number;
  readonly node?: string;
  readonly tensor?: string;
  readonly sample?: string;
}

/** A finding that does not stop the work; kept in the run record. */
export interface Diagnostic {
  readonly severity: 'error' | 'warning' | 'note';
  readonly code: string;
  readonly message: string;
  readonly where?: Where;
  readonly hint?: string;
}

/** An error with a code, the place and what would be right. Thrown for every mistake in a recipe, a model or data. */
export class QuantError extends Error {
  override readonly name = 'QuantError';
  readonly code: ErrorCode;
  readonly where: Where;
  readonly hint: string | undefined;
  /** Lines of the source around the place, with a caret under it. */
  readonly excerpt: string | undefined;
  /** Further mistakes of the same input, where all could be found at once. */
  readonly more: readonly QuantError[];
  constructor(code: ErrorCode, message: string, options: { where?: Where | undefined; hint?: string | undefined; cause?: unknown; excerpt?: string | undefined; more?: readonly QuantError[] } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.where = options.where ?? {};
    this.hint = options.hint;
    this.excerpt = options.excerpt;
    this.more = options.more ?? [];
  }
}

/** Shorthand for `throw new QuantError(...)` in expression position. */
export function fail(code: ErrorCode, message: string, where?: Where, hint?: string, cause?: unknown): never {
  throw new QuantError(code, message, { where, hint, cause });
}

/** Marks a broken invariant of our own code; never used for mistakes in a user's input. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new QuantError('INTERNAL', `bug in quantbench: ${message}`);
}

/** Process exit code of an error: 2 usage or recipe, 3 bad model or data, 4 anything that is our own fault. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof QuantError)) return 4;
  if (error.code === 'USAGE' || error.code.startsWith('RECIPE_')) return 2;
  return error.code === 'INTERNAL' ? 4 : 3;
}

/** The candidate nearest to `name` by edit distance, or undefined where none is close enough to suggest. */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 2)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) { bestDistance = distance; best = candidate; }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row.push(Math.min(row[j - 1]! + 1, previous[j]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    previous = row;
  }
  return previous[b.length]!;
}
