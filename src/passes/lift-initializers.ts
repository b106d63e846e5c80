import { item } from '../base/lists.js';
import type { Pass } from '../rewrite/pass.js';

/**
 * Initializers that are also graph inputs (required below IR 4, an overridable default since) become plain constants,
 * as quantization needs their values. Callers that fed such an input can no longer do so; the finding says which.
 */
export const liftInitializers = {
  name: 'lift-initializers',
  doc: 'Takes initializers out of the graph inputs, so that they are constants.',
  numerics: 'exact',
  run({ model, report }) {
    const lifted = model.graph.inputs.filter((v) => model.graph.initializers.has(v));
    model.graph.removeInputs(new Set(lifted));
    if (lifted.length && model.irVersion >= 4)
      report({
        severity: 'note',
        code: 'INPUT_DEFAULTS_FIXED',
        message: `${lifted.length} inputs with default values became constants, '${item(lifted, 0).name}' first`,
      });
    if (model.irVersion < 4) model.irVersion = 4; // initializers that are not inputs need IR 4
    return { changes: lifted.length };
  },
} satisfies Pass;
