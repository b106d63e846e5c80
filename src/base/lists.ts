/** Elements that are known to be there. Where one is not, that is a bug of ours, and says so at once. */
import { QuantError } from './errors.js';

/** The element of a list at a place that it has; null and undefined are elements too. */
export function item<T>(list: ArrayLike<T>, index: number): T {
  if (!(index >= 0 && index < list.length)) missing(`a list of ${list.length} has no element ${index}`);
  return list[index] as T; // the place is one of the list
}

/** As {@link item}, of a list that may have gaps, at a place that is none. */
export function filled<T>(list: ArrayLike<T>, index: number): NonNullable<T> {
  return list[index] ?? missing(`a list of ${list.length} has nothing at ${index}`);
}

/** What a map holds for a key that it has. */
export function named<K, T>(map: { get(key: K): T | undefined }, key: K): T {
  const found = map.get(key);
  return found === undefined ? missing('a map lacks a key') : found;
}

/** What a record holds under a key that it has. */
export function field<T>(record: Readonly<Record<string, T>>, key: string): T {
  const found = record[key];
  return found === undefined ? missing(`a record has no '${key}'`) : found;
}

/** The member of a list that has a name, such as a plug-in that a recipe names and its schema allowed. */
export function byName<T extends { readonly name: string }>(list: readonly T[], name: string): T {
  return list.find((x) => x.name === name) ?? missing(`nothing is named '${name}'`);
}

/** Messages are made here, so that nothing is spent on them where all is well. */
const missing = (what: string): never => {
  throw new QuantError('INTERNAL', `bug in quantbench: ${what}`);
};
