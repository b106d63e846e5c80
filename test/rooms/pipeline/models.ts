/** Small models, data and recipes on disk, and the cases that lie beside a checkout. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createRng } from '../../../src/base/rng.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { saveModel } from '../../../src/onnx/files.js';
import { resolveRecipe, type ResolvedRecipe } from '../../../src/recipe/load.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';

const HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n';

/** Writes a model of text, of opset 17 unless it says. */
export function writeModel(file: string, text: string): string {
  mkdirSync(path.dirname(file), { recursive: true });
  saveModel(parseModel(text.startsWith('<') ? text : HEADER + text), file);
  return file;
}

/** An initializer of seeded normal values × factor, as text. */
export function weight(name: string, dims: readonly number[], factor = 1): string {
  const rng = createRng(7, name);
  const values = Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => (factor * rng.normal()).toFixed(6));
  return `float[${dims.join(',')}] ${name} = {${values.join(',')}}`;
}

/** onnxruntime 1.30 dies in its optimizer of a constant product behind this Transpose, in float16. */
export const CRASHES = `g (float[3,2,4] x) => (float16[2,3,2] y) <float16[4,2] w = {1,2,3,4,5,6,7,8}> {
  a = Cast <to: int = 10> (x)  b = Transpose <perm: ints = [1, 0, 2]> (a)  y = MatMul (b, w) }`;

/** Writes float32 values as .npy; seeded normal ones unless given. */
export function writeNpy(file: string, shape: readonly number[], values?: ArrayLike<number>): string {
  const n = shape.reduce((a, b) => a * b, 1);
  const rng = createRng(3, path.basename(file));
  const data = Float32Array.from({ length: n }, (_, i) => values?.[i] ?? rng.normal());
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  const padded = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11, ' ');
  const head = Buffer.from(`\x93NUMPY\x01\0\0\0${padded}\n`, 'latin1');
  head.writeUInt16LE(padded.length + 1, 8);
  writeFileSync(file, Buffer.concat([head, Buffer.from(data.buffer)]));
  return file;
}

/** A recipe of a test, without what takes time unless it says so. */
export function recipeOf(baseDir: string, input: Omit<RecipeInput, 'version'>): Promise<ResolvedRecipe> {
  const evaluation = { latency: false as const, layers: false as const, profile: false as const, ...input.evaluation };
  return resolveRecipe(
    { ...input, version: 1, calibration: { cache: false, ...input.calibration }, evaluation },
    { baseDir, name: 'test' },
  );
}

/** Where the cases of bug reports lie, beside the checkout. */
export const CASES = path.resolve(import.meta.dirname, '../../../../shared/cases');
export const NO_CASES = !existsSync(CASES);
