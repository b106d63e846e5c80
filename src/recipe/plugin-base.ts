/** What is read of every plug-in. */
import { kindName, property } from '../data/user-module.js';

/** Ends with what is wrong with the thing that is read, and what would be right. */
export type Says = (what: string, hint?: string) => never;
/** Makes a thing of what a module exports. */
export type Maker<T> = (given: unknown, says: Says) => T;

/** What a plug-in may be called. */
export const NAME = /^[A-Za-z][\w.-]{0,63}$/;

/** Name and doc, which all have. */
export function base(given: unknown, says: Says): { name: string; doc: string } {
  const [name, doc] = [property(given, 'name'), property(given, 'doc')];
  if (typeof name !== 'string' || !NAME.test(name)) {
    const seen = name === undefined ? `has no name: it is ${kindName(given)}` : `has the name ${JSON.stringify(name)}`;
    return says(seen, 'a name is up to 64 letters, digits, and . _ -, and begins with a letter.');
  }
  if (typeof doc !== 'string' || doc.trim() === '') {
    return says('has no doc', 'doc is a sentence about what it does; explain prints it.');
  }
  return { name, doc };
}

/** Undefined and functions have no JSON. */
export const shown = (value: unknown): string =>
  value === undefined || typeof value === 'function' ? 'nothing' : JSON.stringify(value);
