import { named } from '../base/lists.js';
import { createHash } from 'node:crypto';
import { createRng, permutation } from '../base/rng.js';
import type { DataSpec } from './spec.js';
import type { ListedSource } from './source.js';

export type Order = 'interleaved' | 'shuffled' | 'listed';

/**
 * Whether a sample belongs to the declared part: a hash of seed and id below `fraction` is calibration. Depends on
 * nothing else.
 */
export function inSplit(id: string, split: DataSpec['split']): boolean {
  if (!split) return true;
  const position = createHash('sha256').update(`${split.seed}:${id}`).digest().readUInt32BE(0) / 4294967296;
  return position < split.fraction === (split.part === 'calibration');
}

/** Indices of a listed source in the order in which its samples are read, the other part of the split left out. */
export function orderOf(source: ListedSource, order: Order, seed: number, split: DataSpec['split']): Uint32Array {
  const kept: number[] = [];
  for (let i = 0; i < source.count; i++) if (inSplit(source.id(i), split)) kept.push(i);
  if (order === 'shuffled') return permutation(kept.length, createRng(seed, 'data')).map((i) => kept[i]!);
  if (order === 'listed' || !source.group) return Uint32Array.from(kept);
  const groups = new Map<number, number[]>();
  for (const i of kept) {
    const key = source.group(i);
    const group = groups.get(key);
    if (group) group.push(i);
    else groups.set(key, [i]);
  }
  const lanes = [...groups.keys()].sort((a, b) => a - b).map((key) => named(groups, key));
  const out = new Uint32Array(kept.length);
  for (let row = 0, n = 0; n < kept.length; row++)
    for (const lane of lanes) if (row < lane.length) out[n++] = lane[row]!;
  return out;
}
