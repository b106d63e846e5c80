/** Recipes that run together and come to the same file, byte for byte: what is measured of one holds for the others. */
import { statSync } from 'node:fs';
import { groupBy } from '../base/group.js';
import { sha256File } from '../base/files.js';
import type { WrittenVariant } from './variant/types.js';

/** By each such recipe but the first, the first. They ask for the same measurements, in runtimes of one kind. */
export function twinsOf(list: readonly WrittenVariant[]): ReadonlyMap<WrittenVariant, WrittenVariant> {
  const found = new Map<WrittenVariant, WrittenVariant>();
  for (const alike of groupBy(list, measuredAs).values()) {
    if (alike.length < 2) continue; // a file is read for its hash only where another may equal it
    for (const [first, ...others] of groupBy(alike, (v) => sha256File(v.folder.model)).values())
      if (first) for (const v of others) found.set(v, first);
  }
  return found;
}

const measuredAs = ({ folder, prepared, asks, recipe }: WrittenVariant): string =>
  JSON.stringify([statSync(folder.model).size, prepared.target.host, asks, recipe.recipe.evaluation]);
