/** A second model beside the first: what it says of the same inputs is a value of the graph like any other. */
import { RULES_OPSET } from '../autodiff/prepare.js';
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import { cloneModel, copyInto } from '../ir/clone.js';
import type { Model } from '../ir/model.js';
import { inlineFunctions } from '../ir/inline.js';
import { inferShapes } from '../ops/infer.js';
import { convertOpset } from '../passes/convert-opset.js';

const PREFIX = 'teacher/';

/** What a value of the teacher is called. */
export const ofTeacher = (name: string): string => `${PREFIX}${name}`;

/**
 * The student with the nodes and weights of a teacher, which reads the same inputs; all its values have
 * `teacher/` before their names. Outputs are those of the student. Neither model is changed.
 *
 * Throws DATA_SHAPE where the teacher has an input that the student lacks.
 */
export function withTeacher(student: Model, teacher: Model): Model {
  const [a, b] = [student, teacher].map((given) => {
    const { model } = cloneModel(given);
    inlineFunctions(model);
    inferShapes(model);
    convertOpset(model, RULES_OPSET);
    return model;
  }) as [Model, Model]; // of two
  const [own, other] = [a.graph.inputs, b.graph.inputs];
  if (own.length === 1 && other.length === 1) item(other, 0).name = item(own, 0).name;
  for (const v of other)
    if (!own.some((x) => x.name === v.name))
      fail(
        'DATA_SHAPE',
        `the teacher reads '${v.name}', which is no input of the student`,
        { tensor: v.name },
        `the student has ${own.map((x) => x.name).join(', ')}`,
      );
  copyInto(a.graph, b.graph, ofTeacher);
  for (const [domain, version] of b.opsets) if (!a.opsets.has(domain)) a.opsets.set(domain, version);
  inferShapes(a);
  return a;
}
