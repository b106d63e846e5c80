/** A student made of its teacher. */
import { cloneModel } from '../../ir/clone.js';
import { fail } from '../../base/errors.js';
import { inlineFunctions } from '../../ir/inline.js';
import type { Model } from '../../ir/model.js';
import { assertValid } from '../../ir/verify.js';
import { foldSharedWeights } from '../../passes/fold-constants.js';
import { cleaning } from '../../passes/presets.js';
import { runPasses } from '../../rewrite/pass.js';
import { evaluateModel } from '../../runtime/open.js';
import { cheaper, type Replacement } from './cheaper.js';
import { drawWeights } from './fresh.js';
import { shallower } from './shallower.js';
import { thinner } from './thinner.js';

export interface StudentSettings {
  /** Share of the channels. */
  readonly width?: number | undefined;
  /** Share of the residual blocks. */
  readonly depth?: number | undefined;
  readonly replace?: Replacement | undefined;
  /** Whether weights begin as those of the teacher, as far as the form allows, or are drawn. */
  readonly start: 'teacher' | 'random';
  readonly seed: number;
}

/**
 * A student, and what was done in words. The teacher stays as it is. Throws MODEL_UNSUPPORTED where it has not what is
 * asked for, RECIPE_INVALID where nothing is asked for.
 */
export async function derive(teacher: Model, s: StudentSettings): Promise<{ student: Model; steps: string[] }> {
  const student = await cleaned(teacher);
  const steps: string[] = [];
  if (s.depth !== undefined) {
    const { removed, of } = shallower(student, s.depth);
    steps.push(`${removed} of ${of} residual blocks left out`);
  }
  if (s.replace !== undefined) {
    const { replaced } = cheaper(student, s.replace);
    steps.push(`${replaced} convolutions replaced by ${s.replace} ones`);
  }
  if (s.width !== undefined) {
    const { removed, of } = thinner(student, s.width);
    steps.push(`${removed} of ${of} channels taken out`);
  }
  if (!steps.length && s.start === 'teacher')
    fail(
      'RECIPE_INVALID',
      'the student is its teacher',
      {},
      'say how it differs: width, depth, replace, or its own file',
    );
  if (s.start === 'random') {
    drawWeights(student, s.seed);
    steps.push('weights drawn');
  }
  assertValid(student);
  return { student, steps };
}

/**
 * A copy whose shapes are constants, with BatchNormalization as it is: training needs it. With `apart`, layers that
 * share a weight get one each.
 */
export async function cleaned(given: Model, apart = false): Promise<Model> {
  const { model } = cloneModel(given);
  inlineFunctions(model);
  const passes = cleaning.filter((p) => !p.name.startsWith('fold-batch-norm'));
  if (apart) passes.push(foldSharedWeights);
  await runPasses(model, passes, { evaluate: evaluateModel, report: () => undefined });
  return model;
}
