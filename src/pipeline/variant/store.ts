/** Weights with many zeros in the written file: stored without them where onnxruntime gives the same outputs. */
import { statSync } from 'node:fs';
import type { Written } from '../../formats/write.js';
import { storeSparse, type Store } from '../../formats/sparse-weights.js';
import { cloneModel } from '../../ir/clone.js';
import type { Feed, FeedTensor } from '../../ir/feed.js';
import type { Model } from '../../ir/model.js';
import { assertValid } from '../../ir/verify.js';
import { saveModel } from '../../onnx/files.js';
import { forgetInferred } from '../../ops/infer.js';
import type { ResolvedRecipe } from '../../recipe/load.js';
import type { SparsityFacts } from '../../record/sparsity.js';
import { openModel } from '../../runtime/open.js';
import { keptBy } from '../kept.js';
import type { TrainedVariant } from './types.js';

type Tensors = Written['tensors'];
export interface StoredModel {
  readonly model: Model;
  readonly tensors: Tensors;
  readonly storage: NonNullable<SparsityFacts['storage']>;
}

/** How a recipe has weights with zeros stored: without them where a step of `compress` has made some. */
export const storeOf = ({ recipe }: ResolvedRecipe): Store =>
  recipe.quantize.store ?? (keptBy({ ...recipe, train: undefined }).includes('zeros') ? 'auto' : 'dense');

/**
 * Writes the model over the dense one at `file`, with weights stored without their zeros; undefined, and the file as it
 * is, where that is not smaller or onnxruntime does not give the same.
 */
export async function storeWithoutZeros(
  v: Pick<TrainedVariant, 'recipe' | 'report' | 'prepared'>,
  dense: { readonly model: Model; readonly tensors: Tensors; readonly file: string },
  feed: () => Promise<Feed>,
): Promise<StoredModel | undefined> {
  const how = storeOf(v.recipe);
  const { host, name } = v.prepared.target;
  if (how === 'dense' || (host !== 'here' && v.recipe.recipe.quantize.store === undefined)) return undefined;
  const copy = cloneModel(dense.model);
  const { stored, replaced } = storeSparse(copy.model, how);
  if (!stored.length) return undefined;
  assertValid(copy.model);
  forgetInferred(copy.model); // onnxruntime infers them again; in the file they only cost bytes
  const refused = await difference(dense.model, copy.model, await feed());
  if (refused !== undefined) {
    v.report({
      severity: 'warning',
      code: 'STORE_REFUSED',
      message: `quantize.store: ${how} is left out for ${name}: ${refused}`,
      hint: 'the file holds the zeros, as with store: dense',
    });
    return undefined;
  }
  const denseBytes = statSync(dense.file).size;
  saveModel(copy.model, dense.file);
  const bytes = statSync(dense.file).size;
  const count = (kind: string): number => stored.filter((s) => s.how === kind).length;
  const tensors: Tensors = new Map(
    [...dense.tensors].map(([key, place]) => {
      const value = copy.values.get(place.value) ?? place.value;
      return [key, { ...place, value: replaced.get(value) ?? value }];
    }),
  );
  return { model: copy.model, tensors, storage: { sparse: count('sparse'), mask: count('mask'), denseBytes, bytes } };
}

/** Why the second is not as good as the first; undefined where it gives the same. */
async function difference(first: Model, second: Model, feed: Feed): Promise<string | undefined> {
  const outputs = async (model: Model): Promise<Readonly<Record<string, FeedTensor>>> => {
    const session = await openModel(model, { threads: 1, spinning: false, label: 'the model with its weights stored' });
    try {
      return await session.run(feed);
    } finally {
      await session.close();
    }
  };
  const expected = await outputs(first);
  let given: typeof expected;
  try {
    given = await outputs(second);
  } catch (error) {
    return `onnxruntime does not take it: ${error instanceof Error ? error.message : String(error)}`;
  }
  const other = Object.entries(expected).find(([name, { data }]) => {
    const own = given[name]?.data;
    return !own || data.some((x, i) => x !== own[i] && !(Number.isNaN(x) && Number.isNaN(own[i])));
  });
  return other && `output '${other[0]}' is not the same`;
}
