/**
 * Patterns of names, matched in time that grows with pattern and name alone: names come from models, and patterns
 * may too.
 */
import { item } from './lists.js';
import { RE2JS } from 're2js';
import { fail } from './errors.js';

/** Longest pattern: the time of a match is at most that of pattern × name. */
const PATTERN_LENGTH = 500;

export type NameTest = (name: string) => boolean;

/**
 * A test of a regular expression anywhere in a name, by an engine that does not backtrack. What only backtracking can
 * do, backreferences and looking around, is refused. Throws RECIPE_INVALID. source:
 * https://github.com/google/re2/wiki/Syntax
 */
export function regExpTest(source: string): NameTest {
  if (source.length > PATTERN_LENGTH)
    fail(
      'RECIPE_INVALID',
      `the regular expression has ${source.length} characters`,
      {},
      `write it with at most ${PATTERN_LENGTH}`,
    );
  try {
    const compiled = RE2JS.compile(source);
    return (name) => compiled.test(name);
  } catch (cause) {
    return fail(
      'RECIPE_INVALID',
      `"${source}" is not a regular expression that can be matched: ` +
        `${cause instanceof Error ? cause.message : String(cause)}`,
      {},
      'the syntax is that of RE2: no backreferences, no looking ahead or behind',
      cause,
    );
  }
}

/**
 * Whether an expression repeats without end a group that holds such a repeat or a choice: what a backtracking engine
 * may take exponential time for. Groups that repeat at most a few times, and classes, are fine.
 */
export function repeatsRepeats(source: string): boolean {
  const open: { risky: boolean }[] = [{ risky: false }];
  let last: 'group' | 'risky group' | 'atom' = 'atom';
  for (let i = 0; i < source.length; i++) {
    const c = source[i]!; // i is inside
    const top = item(open, open.length - 1); // one is always left
    if (c === '\\') {
      i++;
      last = 'atom';
    } else if (c === '[') {
      for (i++; i < source.length && source[i] !== ']'; i++) if (source[i] === '\\') i++;
      last = 'atom';
    } else if (c === '(') open.push({ risky: false });
    else if (c === ')') {
      const inner = open.length > 1 ? open.pop()! : top; // more than one is open
      if (inner.risky) item(open, open.length - 1).risky = true; // one is left
      last = inner.risky ? 'risky group' : 'group';
    } else if (c === '|') {
      if (open.length > 1) top.risky = true;
      last = 'atom';
    } else if (c === '*' || c === '+' || (c === '{' && /^\{\d*,\}/.test(source.slice(i, i + 12)))) {
      if (last === 'risky group') return true;
      top.risky = true;
    } else if (c !== '?' && c !== '{' && c !== '}') last = 'atom';
  }
  return false;
}

/**
 * A test of whole names against a pattern in which only `*` and `?` are special. Throws RECIPE_INVALID for a very
 * long one.
 */
export function globTest(pattern: string): NameTest {
  if (pattern.length > PATTERN_LENGTH)
    fail(
      'RECIPE_INVALID',
      `the pattern has ${pattern.length} characters`,
      {},
      `write it with at most ${PATTERN_LENGTH}`,
    );
  const parts = pattern.split(/\*+/);
  const [head = '', ...rest] = parts;
  const tail = rest.pop();
  if (tail === undefined) return (name) => name.length === pattern.length && fits(pattern, name, 0);
  return (name) => {
    const end = name.length - tail.length;
    if (end < head.length || !fits(head, name, 0) || !fits(tail, name, end)) return false;
    // Each part at the first place after the one before: if any choice fits, this one does.
    let at = head.length;
    for (const part of rest) {
      at = find(part, name, at, end);
      if (at < 0) return false;
      at += part.length;
    }
    return true;
  };
}

/** Whether a part without `*` lies at a position of the name. */
function fits(part: string, name: string, at: number): boolean {
  if (!part.includes('?')) return name.startsWith(part, at);
  for (let i = 0; i < part.length; i++) if (part[i] !== '?' && part[i] !== name[at + i]) return false;
  return at + part.length <= name.length;
}
function find(part: string, name: string, from: number, end: number): number {
  if (!part.includes('?')) {
    const at = name.indexOf(part, from);
    return at >= 0 && at + part.length <= end ? at : -1;
  }
  for (let at = from; at + part.length <= end; at++) if (fits(part, name, at)) return at;
  return -1;
}

/**
 * Throws RECIPE_INVALID for a regular expression that is malformed, or could take exponential time in other tools: the
 * engine here would match it in linear time, but a recipe is read by more than us.
 */
export function compileRegExp(source: string): { test: NameTest } {
  if (repeatsRepeats(source)) {
    fail(
      'RECIPE_INVALID',
      `the pattern "${source}" repeats a group that repeats inside; matching it could take forever`,
      {},
      'write it without nested repetition',
    );
  }
  return { test: regExpTest(source) };
}

/** A test of names: exact, glob or `re:`. Throws RECIPE_INVALID for a pattern that cannot be matched in linear time. */
export function nameTest(pattern: string): NameTest {
  if (pattern.startsWith('re:')) return compileRegExp(pattern.slice(3)).test;
  return /[*?]/.test(pattern) ? globTest(pattern) : (n) => n === pattern;
}
