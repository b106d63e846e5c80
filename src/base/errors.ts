/**
 * The one error type that quantbench throws on purpose, and the list of every code it may carry.
 * A code's prefix decides the process exit code (see {@link exitCodeOf}); docs/errors.md is generated from the list.
 */

import { shorten, shortName } from './shorten.js';

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
  EXPORT_UNSUPPORTED: 'An exporter cannot express what was quantized, or gives files that it must not.',
  GRADIENT_INVALID: 'The loss is not one float number, or does not depend on what it is differentiated by.',
  GRADIENT_UNKNOWN_NAME: 'What gradients are asked for, or the loss, names no float tensor of the model.',
  GRADIENT_UNSUPPORTED: 'No gradient is known through an operator, or a form of it, that the loss depends on.',
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
  RECIPE_PLUGIN: 'A plug-in of a recipe does not load, exports something else, or gives what it must not.',
  RECIPE_UNKNOWN_KEY: 'The recipe has a key that does not exist.',
  RECIPE_UNKNOWN_NAME: 'The recipe names an observer, metric, target, op or tensor that does not exist.',
  STORE_DAMAGED: 'The log or a stored file of a store is not what was written.',
  STORE_LOCKED: 'Another process holds the lock of the store for too long.',
  STORE_REFUSED: 'The store refuses a change: no passing gate, a skipped stage, or nothing to roll back to.',
  STORE_UNKNOWN: 'The store, or a name, version or stage in it, does not exist.',
  TRAIN_CHECKPOINT: 'A checkpoint of training is damaged, or cannot be read.',
  TRAIN_NON_FINITE: 'A step of training gave NaN or infinity; the weights are those before it.',
  USAGE: 'The command line is wrong.',
  VERIFY_RUNTIME: 'The runtime that a model was written for does not load or run it, or is not installed.',
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

interface ErrorOptions {
  readonly where?: Where | undefined;
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  readonly excerpt?: string | undefined;
  readonly more?: readonly QuantError[];
}

/**
 * An error with a code, the place and what would be right. Thrown for every mistake in a recipe, a model or data.
 * What message, hint and place quote is shortened here (see {@link shorten}), for names and lists come from files.
 */
export class QuantError extends Error {
  override readonly name = 'QuantError';
  readonly code: ErrorCode;
  readonly where: Where;
  readonly hint: string | undefined;
  /** Lines of the source around the place, with a caret under it. */
  readonly excerpt: string | undefined;
  /** Further mistakes of the same input, where all could be found at once. */
  readonly more: readonly QuantError[];
  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(shorten(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.where = shortPlace(options.where ?? {});
    this.hint = options.hint === undefined ? undefined : shorten(options.hint, HINT_LENGTH);
    this.excerpt = options.excerpt;
    this.more = options.more ?? [];
  }
}

const HINT_LENGTH = 4000;

/** The place without the tail of very long names; a file stays whole, since it is opened from the message. */
function shortPlace(where: Where): Where {
  const { node, tensor, sample } = where;
  return {
    ...where,
    ...(node === undefined ? {} : { node: shortName(node) }),
    ...(tensor === undefined ? {} : { tensor: shortName(tensor) }),
    ...(sample === undefined ? {} : { sample: shortName(sample) }),
  };
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

/** Longest name that a suggestion is looked for: no one misspells a longer one by hand. */
const NEAREST_LENGTH = 200;
/** Cells of edit distances that one suggestion may cost: some tenths of a second. */
const NEAREST_WORK = 1e8;

/**
 * The candidate nearest to `name` by edit distance, or undefined where none is close enough to suggest. Names beyond
 * 200 characters are not compared, and of many candidates only as many as can be in a moment: names may come from a
 * file.
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  if (name.length > NEAREST_LENGTH) return undefined;
  const wanted = name.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 2)) + 1;
  let work = 0;
  for (const candidate of candidates) {
    work += 8;
    if (work > NEAREST_WORK) break;
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue;
    work += wanted.length * candidate.length;
    const distance = editDistance(wanted, candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      bestDistance = distance;
      best = candidate;
    }
  }
  return best;
}

/** Edit distance of two short names; from `limit` on, any number from there on. */
function editDistance(a: string, b: string, limit: number): number {
  let previous = Uint32Array.from({ length: b.length + 1 }, (_, j) => j);
  let row = new Uint32Array(b.length + 1);
  for (let i = 1; i <= a.length; i++) {
    row[0] = i;
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const d = Math.min(row[j - 1]! + 1, previous[j]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      row[j] = d;
      if (d < least) least = d;
    }
    if (least >= limit) return limit;
    [previous, row] = [row, previous];
  }
  return previous[b.length]!; // one more than the length of b
}
