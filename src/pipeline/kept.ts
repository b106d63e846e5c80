/** What trainings of a recipe leave as it is: what it says, and what its steps of `compress` have made. */
import { byName } from '../base/lists.js';
import { compressions } from '../compress/index.js';
import type { Recipe } from '../recipe/schema.js';
import { KEPT, type Kept } from '../train/kept.js';

/** In the order of the schema. Zeros of `sparsify` stay without being named. */
export function keptBy({ train, compress }: Pick<Recipe, 'train' | 'compress'>): Kept[] {
  const made = compress.flatMap((c) => byName(compressions, c.name).keeps ?? []);
  return KEPT.filter((k) => made.includes(k) || train?.keep.includes(k) === true);
}
