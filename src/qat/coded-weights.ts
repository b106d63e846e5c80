/** Weights that a coding stores: how they are rounded in training, and the codes that come of it. */
import { filled } from '../base/lists.js';
import { fail } from '../base/errors.js';
import { createRng } from '../base/rng.js';
import { dataOf } from '../ir/known.js';
import type { Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import { gridOf } from '../scheme/codings/chosen.js';
import { codings } from '../scheme/codings/index.js';
import { decode, matrixOf } from '../scheme/codings/matrix.js';
import type { Coded, Matrix } from '../scheme/codings/types.js';
import type { QuantSpec } from '../scheme/types.js';
import { fakeLevels, type FakeLevels } from './levels.js';
import type { FakeQuantOptions, QatParameter } from './types.js';

export interface CodedWeightPoint {
  readonly weight: Value;
  readonly matrix: Matrix;
  readonly made: FakeLevels;
  /** What is learned beside the weight, or in its place. */
  readonly parameter: QatParameter | undefined;
}

/**
 * `source` gives the weight in the model that is trained; it is not asked for where codes stay. Throws RECIPE_INVALID.
 */
export function addCodedWeight(
  b: GraphBuilder,
  weight: Value,
  spec: QuantSpec & { kind: 'coded' },
  source: (learned: boolean) => Value,
  options: Pick<FakeQuantOptions, 'scales' | 'steps'> & { readonly start?: Coded | undefined },
): CodedWeightPoint {
  const data = dataOf(weight); // planning chose initializers
  const coding = filled([codings.find((c) => c.name === spec.coding)], 0); // the schema allows names of the list
  const matrix = matrixOf(data.f32(), data.dims, spec.axis);
  const coded = options.start ?? coding.encode(matrix, spec.options, createRng(0, 'rounding'));
  const [learns, grid] = [coding.learns?.(spec.options), gridOf(coded, matrix)];
  if (!learns || !grid)
    return fail(
      'RECIPE_INVALID',
      `training cannot learn codes of the coding ${spec.coding}, in which '${weight.name}' is stored`,
      { tensor: weight.name },
      `it can of ${codings.flatMap((c) => (c.learns ? [c.name] : [])).join(', ')}`,
    );
  const made = fakeLevels(b, source(learns !== 'levels'), {
    ...{ name: weight.name, matrix, dims: data.dims, coded, grid, relative: options.steps === 'relative' },
    learns: options.scales === 'fixed' && learns === 'scales' ? 'neither' : learns,
  });
  const kind = learns === 'levels' ? 'levels' : 'step size';
  return { weight, matrix, made, parameter: made.learned === undefined ? undefined : { name: made.learned, kind } };
}

/** The codes that were learned, and the weight that they mean. */
export function readCodedWeight(
  { weight, matrix, made }: CodedWeightPoint,
  learned: Tensor | undefined,
  values: ReadonlyMap<string, Tensor>,
): { readonly coded: Coded; readonly data: Tensor } {
  const before = dataOf(weight); // planning chose initializers
  const coded = made.read((learned ?? before).f32(), made.learned === undefined ? undefined : values.get(made.learned));
  return { coded, data: Tensor.f32(decode(coded, matrix), before.dims) };
}
