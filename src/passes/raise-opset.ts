import { QuantError } from '../base/errors.js';
import { cloneModel } from '../ir/clone.js';
import type { Pass, PassContext } from '../rewrite/pass.js';
import { convertOpset } from './convert-opset.js';

/**
 * Raises the model's standard opset to `wanted`. False, with a note and the model untouched, where an op has no later
 * form.
 */
export function raiseOpset({ model, report }: PassContext, wanted: number): boolean {
  const has = model.opsets.get('') ?? 1;
  try {
    convertOpset(cloneModel(model).model, wanted); // a conversion that fails half-way must not touch the model
  } catch (error) {
    if (!(error instanceof QuantError)) throw error;
    report({
      severity: 'note',
      code: error.code,
      message: `the opset stays ${has}, though passes could use ${wanted}: ${error.message}`,
      where: error.where,
    });
    return false;
  }
  convertOpset(model, wanted);
  return true;
}

/**
 * The passes, after one that raises the standard opset to the least that one of them needs which would then change
 * something. A model that no newer op helps keeps its opset.
 */
export function withRaisedOpset(passes: readonly Pass[]): readonly Pass[] {
  const raise = {
    name: 'raise-opset',
    doc: 'Raises the opset where a newer operator replaces several nodes.',
    numerics: 'close',
    run(ctx) {
      const has = ctx.model.opsets.get('') ?? 1;
      // Lowest first: each opset more leaves older runtimes behind, and what one pass fuses may leave nothing to a
      // newer op. The next round asks again.
      const wanted = [
        ...new Set(passes.filter((p) => (p.opset ?? 0) > has && p.wouldApply?.(ctx)).map((p) => p.opset ?? 0)),
      ].sort((a, b) => a - b);
      return { changes: wanted.some((version) => raiseOpset(ctx, version)) ? 1 : 0 };
    },
  } satisfies Pass;
  return [raise, ...passes];
}
