/** Items by a key, in the order in which the keys and the items came. */
export function groupBy<T, K>(items: readonly T[], key: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const k = key(item);
    const group = groups.get(k);
    if (group) group.push(item);
    else groups.set(k, [item]);
  }
  return groups;
}

/** Runs of items whose sizes sum to at most `limit` each; an item beyond it is alone. */
export function packs<T>(items: readonly T[], size: (item: T) => number, limit: number): T[][] {
  const out: T[][] = [];
  let sum = Infinity;
  for (const item of items) {
    const own = size(item);
    if (sum + own > limit) {
      out.push([]);
      sum = 0;
    }
    out[out.length - 1]!.push(item); // one was just made, or there already
    sum += own;
  }
  return out;
}
