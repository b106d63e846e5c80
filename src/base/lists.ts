/** Elements that are known to be there. Where one is not, that is a bug of ours, and says so at once. */
import { QuantError } from './errors.js';

/** The element of a list at a place that it has. */
export function item<T>(list: ArrayLike<T>, index: number): NonNullable<T> {
  return list[index] ?? missing(`a list of ${list.length} has no element ${index}`);
}

/** What a map holds for a key that it has. */
export function named<K, T>(map: { get(key: K): T | undefined }, key: K): NonNullable<T> {
  return map.get(key) ?? missing('a map lacks a key');
}

/** What a record holds under a key that it has. */
export function field<T>(record: Readonly<Record<string, T>>, key: string): NonNullable<T> {
  return record[key] ?? missing(`a record has no '${key}'`);
}

/** Messages are made here, so that nothing is spent on them where all is well. */
const missing = (what: string): never => {
  throw new QuantError('INTERNAL', `bug in quantbench: ${what}`);
};
