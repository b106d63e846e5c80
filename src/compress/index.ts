import { circulant } from './circulant.js';
import { depth } from './depth.js';
import { hashed } from './hashed.js';
import { lowRank } from './low-rank.js';
import { lowRankConv } from './low-rank-conv.js';
import type { Importance } from './importance/types.js';
import { prune, pruneWith } from './prune.js';
import { sparsify } from './sparsify.js';
import { tie } from './tie.js';
import type { Compression } from './types.js';

/** Every way to make a float model smaller, by name in recipes. */
export const compressions: readonly Compression<unknown>[] = [
  prune,
  lowRank,
  lowRankConv,
  depth,
  sparsify,
  circulant,
  hashed,
  tie,
];
/** The same, that know the measures of channels of a recipe's plug-ins too. */
export const compressionsWith = (importances: readonly Importance[]): readonly Compression<unknown>[] =>
  compressions.map((c) => (c.name === prune.name ? pruneWith(importances) : c));
