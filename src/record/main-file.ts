import { fail } from '../base/errors.js';
import type { RunRecord } from './run.js';

/** Of files, the one that a runtime is given. Throws INTERNAL where there is none. */
export function mainFile(files: RunRecord['files']): RunRecord['files'][number] {
  const models = files.filter((f) => f.role === 'model');
  return (
    models.find((f) => f.path === 'model.onnx') ??
    models[0] ??
    fail('INTERNAL', 'bug in quantbench: no model was written')
  );
}
