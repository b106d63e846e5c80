/**
 * Pairs of ids with the same source bytes in both sets, in the order of `b`: samples that calibration and evaluation
 * share.
 */
export function overlap(
  a: Iterable<{ readonly id: string; readonly hash: string }>,
  b: Iterable<{ readonly id: string; readonly hash: string }>,
): { readonly a: string; readonly b: string; readonly hash: string }[] {
  const known = new Map<string, string>();
  for (const { id, hash } of a) if (!known.has(hash)) known.set(hash, id);
  const shared: { a: string; b: string; hash: string }[] = [];
  for (const { id, hash } of b) {
    const other = known.get(hash);
    if (other !== undefined) shared.push({ a: other, b: id, hash });
  }
  return shared;
}
