import { QuantError } from '../base/errors.js';
import { cloneModel } from '../ir/clone.js';
import type { Pass } from '../rewrite/pass.js';
import { convertOpset } from './convert-opset.js';

/**
 * The passes, after one that raises the standard opset to what those of them need that would then change something.
 * A model that no newer op helps keeps its opset. Stays where an op of the model has no later form.
 */
export function withRaisedOpset(passes: readonly Pass[]): readonly Pass[] {
  const raise = {
    name: 'raise-opset', doc: 'Raises the opset where a newer operator replaces several nodes.', numerics: 'close',
    run(ctx) {
      const { model } = ctx;
      const has = model.opsets.get('') ?? 1;
      const wanted = Math.max(has, ...passes.filter((p) => (p.opset ?? 0) > has && p.wouldApply?.(ctx)).map((p) => p.opset ?? 0));
      if (wanted === has) return { changes: 0 };
      try {
        convertOpset(cloneModel(model).model, wanted); // a conversion that fails half-way must not touch the model
      } catch (error) {
        if (!(error instanceof QuantError)) throw error;
        ctx.report({ severity: 'note', code: error.code, message: `the opset stays ${has}, though fusions could use ${wanted}: ${error.message}`, where: error.where });
        return { changes: 0 };
      }
      convertOpset(model, wanted);
      return { changes: 1 };
    },
  } satisfies Pass;
  return [raise, ...passes];
}
