/** The float model of a recipe as onnxruntime can run it. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { temporaryFolder } from '../base/environment-errors.js';
import type { Diagnostic } from '../base/errors.js';
import type { Model } from '../ir/model.js';
import { saveModel } from '../onnx/files.js';
import { computesInBfloat16, widenBfloat16 } from '../passes/widen-bfloat16.js';
import { loadFloatModel } from './prepare.js';

export interface FloatModel {
  readonly model: Model;
  /** What sessions open: the file given, or one with the same values in types that have kernels. */
  readonly file: string;
  /** What is to be told of it. */
  readonly told?: Diagnostic;
  /** Removes what only the run needs. */
  close(): void;
}

export interface FloatModelOptions {
  /** As for {@link loadFloatModel}. */ readonly reads?: (model: Model) => boolean;
  /** Whether a session may open it. */ readonly opens?: () => boolean;
}

/** Loads a float model, in float32 where it computes in bfloat16. Throws what {@link loadFloatModel} throws. */
export function openFloatModel(file: string, { reads, opens = () => true }: FloatModelOptions = {}): FloatModel {
  const model = loadFloatModel(file, reads);
  const close = (): void => undefined;
  if (!computesInBfloat16(model)) return { model, file, close };
  widenBfloat16(model);
  return { model, told: WIDENED, ...(opens() ? saved(model, path.basename(file)) : { file, close }) };
}
const WIDENED = {
  severity: 'note',
  code: 'BFLOAT16_WIDENED',
  message:
    'the model computes in bfloat16, for which onnxruntime has no kernels on CPUs: its weights are taken as they ' +
    'are, and all else in float32, inputs and outputs too',
} as const;

function saved(model: Model, name: string): Pick<FloatModel, 'file' | 'close'> {
  const folder = temporaryFolder();
  const close = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const file = path.join(folder, name);
    saveModel(model, file, { externalData: 'always' }); // onnxruntime maps data files, and copies what a model holds
    return { file, close };
  } catch (error) {
    close();
    throw error;
  }
}
