/** What a command wants, and what it got instead. */
import { fail } from '../base/errors.js';

/**
 * Throws USAGE where a run is wanted and `target` is a model or a recipe, by its name: such files are never records of
 * runs.
 */
export function wantRun(target: string, command: string): void {
  if (/\.(onnx|ort)$/i.test(target))
    fail(
      'USAGE',
      `${command} wants the output folder of a run, but '${target}' is a model`,
      { file: target },
      `make a run of it first: quantize --recipe R --model ${target} --out FOLDER, then quantize ${command} FOLDER`,
    );
  if (/\.ya?ml$/i.test(target))
    fail(
      'USAGE',
      `${command} wants the output folder of a run, but '${target}' is a recipe`,
      { file: target },
      `run it first: quantize --recipe ${target} --out FOLDER, then quantize ${command} FOLDER`,
    );
}
