import { circulant } from './circulant.js';
import { lowRank } from './low-rank.js';
import { lowRankConv } from './low-rank-conv.js';
import { prune } from './prune.js';
import { tie } from './tie.js';
import type { Compression } from './types.js';

/** Every way to make a float model smaller, by name in recipes. */
export const compressions: readonly Compression<unknown>[] = [prune, lowRank, lowRankConv, circulant, tie];
