/** Recipe text: YAML 1.2 in a safe subset, with the position of every key and value. */
import {
  CST,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type Node as YamlNode,
  type Pair,
} from 'yaml';
import { QuantError, type ErrorCode } from '../base/errors.js';
import { placesOf, type ErrorAt } from './places.js';

const MAX_BYTES = 1e6;
const MAX_DEPTH = 32;
/** Block nesting costs at least a column a level; deeper text would overflow the stack of the YAML parser. */
const MAX_INDENT = 200;
const MAX_ALIASES = 100;
/** Keys, values and brackets. Ten thousand of them take the parser and the schema about half a second. */
const MAX_VALUES = 20_000;
/** What the parser takes longer for than in proportion. */
const MAX_LINES = 50_000;
const MAX_NAMED = 1000;
const MOST = [
  ['values', MAX_VALUES],
  ['lines', MAX_LINES],
  ['anchors and aliases', MAX_NAMED],
] as const;
export const MAX_COMPLAINTS = 10;
const VALUE_TOKENS: ReadonlySet<string> = new Set([
  'scalar',
  'single-quoted-scalar',
  'double-quoted-scalar',
  'seq-item-ind',
  'map-value-ind',
  'comma',
  'flow-map-start',
  'flow-seq-start',
]);
const OPENS: Readonly<Record<string, string>> = { '}': '{', ']': '[' };
const QUOTED = 'text with brackets in it stands between quotes';
const TAGS: ReadonlySet<string> = new Set(
  ['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((t) => `tag:yaml.org,2002:${t}`),
);

export type Path = readonly PropertyKey[];

/** A parsed recipe. `value` is plain data: objects, arrays, strings, finite or non-finite numbers, booleans, null. */
export interface RecipeText {
  readonly file: string;
  readonly text: string;
  readonly value: Record<string, unknown>;
  /** Error at the value (or, with `atKey`, the key) of a path; at the nearest thing above it that is written out. */
  error(code: ErrorCode, message: string, path: Path, hint?: string, atKey?: boolean): QuantError;
}

/**
 * Parses recipe bytes. Throws RECIPE_FORMAT for text that is not UTF-8, over 1 MB, not one YAML mapping, nested
 * deeper than 32 levels or of more than 20,000 values, with repeated keys, unknown tags, tab indentation or exploding
 * aliases; RECIPE_INVALID for integers that a double cannot hold. `file` is how messages call it.
 */
export function parseRecipeText(bytes: Uint8Array, file: string): RecipeText {
  const text = decode(bytes, file);
  const at = placesOf(text, file);
  refuseHuge(text, at);
  const lines = new LineCounter();
  const doc = documentOf(text, lines);
  const problems = [...doc.errors, ...doc.warnings]
    .slice(0, MAX_COMPLAINTS)
    .map((e) =>
      at(
        'RECIPE_FORMAT',
        wordsOf(e.code, e.message),
        e.pos[0],
        e.pos[1] - e.pos[0],
        e.code === 'TAB_AS_INDENT' ? 'indent with spaces' : undefined,
      ),
    );
  if (problems.length) throw gather(problems);
  const version = doc.directives.yaml;
  if (version.explicit && version.version !== '1.2')
    throw at(
      'RECIPE_FORMAT',
      `YAML ${version.version} is not supported`,
      0,
      5,
      'leave the %YAML line out; recipes are YAML 1.2',
    );
  if (doc.contents === null || (isScalar(doc.contents) && doc.contents.value === null))
    throw new QuantError('RECIPE_FORMAT', 'the recipe is empty', {
      where: { file },
      hint: 'start with `version: 1` and `model: …`; `quantize init MODEL` writes a first recipe',
    });
  if (!isMap(doc.contents))
    throw at(
      'RECIPE_FORMAT',
      `a recipe is a mapping of keys to values, but this is ${isSeq(doc.contents) ? 'a list' : 'a single value'}`,
      startOf(doc.contents),
      1,
      'start with `version: 1`',
    );
  refuseNodes(doc, text, at);
  return {
    file,
    text,
    value: toPlain(doc, file),
    error: (code, message, path, hint, atKey = false) => {
      const [start, end] = rangeOf(doc.contents, path, atKey);
      return at(code, message, start, end - start, hint);
    },
  };
}

/** What the parser makes of a text. It may keep 100,000 errors, and most of one is where in the parser it was made. */
function documentOf(text: string, lineCounter: LineCounter): Document.Parsed {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return parseDocument(text, {
      lineCounter,
      merge: true,
      prettyErrors: false,
      uniqueKeys: false,
      logLevel: 'error',
    });
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** One error that carries the rest; at most ten, because the tenth rarely says something new. */
export function gather(errors: readonly QuantError[]): QuantError {
  const [first, ...more] = errors;
  if (!first || !more.length) return first ?? new QuantError('INTERNAL', 'bug in quantbench: no complaint to report');
  const { code, message, where, hint, excerpt } = first;
  return new QuantError(code, message, { where, hint, excerpt, more: more.slice(0, MAX_COMPLAINTS - 1) });
}

function decode(bytes: Uint8Array, file: string): string {
  if (bytes.length > MAX_BYTES)
    throw new QuantError('RECIPE_FORMAT', `the recipe has ${bytes.length} bytes; at most ${MAX_BYTES} are read`, {
      where: { file },
      hint: 'is this the recipe, and not the model?',
    });
  const strict = new TextDecoder('utf-8', { fatal: true });
  try {
    return strict.decode(bytes);
  } catch {
    let line = 1;
    for (let start = 0; start < bytes.length; line++) {
      const end = bytes.indexOf(10, start) < 0 ? bytes.length : bytes.indexOf(10, start);
      try {
        strict.decode(bytes.subarray(start, end));
      } catch {
        break;
      } // no UTF-8 sequence contains a line feed, so the fault lies within one line
      start = end + 1;
    }
    throw new QuantError('RECIPE_FORMAT', 'the recipe is not UTF-8 text', {
      where: { file, line },
      hint: 'save it as UTF-8',
    });
  }
}

/**
 * The parser recurses per level, and running out of stack inside it can end the process: deep text never reaches it.
 * Nor does text of very many values, for which parser and schema take too long.
 */
function refuseHuge(text: string, at: ErrorAt): void {
  let offset = 0;
  let flow = 0; // as the lexer counts, which takes any bracket for the end of any other
  const open: string[] = [];
  let strays = 0; // brackets that close none: the parser has an error for each
  let unparted = 0; // values in brackets since the last comma or bracket: the parser nests what nothing parts
  const counts = { lines: 0, values: 0, 'anchors and aliases': 0 };
  let leading = true; // only spaces and indicators so far on this line
  let column = 0;
  for (const token of new Lexer().lex(text)) {
    const type = CST.tokenType(token);
    if (type === 'newline') {
      leading = true;
      column = 0;
    } else if (leading && (type === 'space' || type === 'seq-item-ind' || type === 'explicit-key-ind'))
      column += token.length;
    else if (type !== 'doc-mode' && type !== 'byte-order-mark') leading = false;
    if (type === 'flow-map-start' || type === 'flow-seq-start') {
      flow++;
      open.push(token);
    }
    if (type === 'flow-map-end' || type === 'flow-seq-end') {
      flow--;
      if (open.at(-1) === OPENS[token]) open.pop();
      else if (++strays > MAX_COMPLAINTS)
        throw at('RECIPE_FORMAT', `this '${token}' closes nothing`, Math.min(offset, text.length), 1, QUOTED);
    }
    if (type === 'comma' || type?.startsWith('flow-')) unparted = 0;
    else if (type === 'map-value-ind' && flow > 0) unparted++;
    if (type !== null && VALUE_TOKENS.has(type)) counts.values++;
    if (type === 'newline') counts.lines++;
    if (type === 'alias' || type === 'anchor') counts['anchors and aliases']++;
    for (const [what, most] of MOST) {
      if (counts[what] <= most) continue;
      throw at(
        'RECIPE_FORMAT',
        `the recipe has more than ${most} ${what}`,
        Math.min(offset, text.length),
        1,
        'name nodes by patterns, such as "/encoder/*", instead of one by one',
      );
    }
    if (flow > MAX_DEPTH || unparted > MAX_DEPTH || column > MAX_INDENT)
      throw at(
        'RECIPE_FORMAT',
        `the recipe is nested deeper than ${MAX_DEPTH} levels`,
        Math.min(offset, text.length),
        1,
        'no recipe needs more than six',
      );
    if (type !== 'doc-mode' && type !== 'flow-error-end' && type !== 'scalar') offset += token.length;
  }
}

/**
 * Unknown tags that YAML itself would resolve (sets, binary), integers that would silently be rounded, and keys given
 * twice, which the parser looks for by comparing each with each. Stops at as many as are told.
 */
function refuseNodes(doc: Document.Parsed, text: string, at: ErrorAt): void {
  const problems: QuantError[] = [];
  visit(doc, {
    Node: (_key, node) => {
      if (problems.length >= MAX_COMPLAINTS) return visit.BREAK;
      if (!isNode(node) || isAlias(node)) return undefined;
      const [start, end] = node.range ?? [0, 0];
      if (node.tag !== undefined && !TAGS.has(node.tag))
        problems.push(
          at('RECIPE_FORMAT', `the tag ${node.tag} is not supported`, start, end - start, 'leave the tag out'),
        );
      if (isMap(node))
        refuseTwins(node.items, (pos, length) => problems.push(at('RECIPE_FORMAT', WORDS.DUPLICATE_KEY, pos, length)));
      if (!isScalar(node) || typeof node.value !== 'number') return undefined;
      if (Number.isInteger(node.value) && !Number.isSafeInteger(node.value) && /^[-+]?\d+$/.test(node.source ?? '')) {
        problems.push(
          at(
            'RECIPE_INVALID',
            `${text.slice(start, end)} is beyond 2^53 and cannot be held exactly`,
            start,
            end - start,
            'use a smaller number',
          ),
        );
      }
      return undefined;
    },
  });
  if (problems.length) throw gather(problems);
}

/** Tells of keys that an earlier pair of the mapping has; of at most as many as are told. */
function refuseTwins(pairs: readonly Pair[], tell: (start: number, length: number) => void): void {
  const seen = new Set<unknown>();
  let told = 0;
  for (const { key } of pairs) {
    if (!isScalar(key) || key.value === '<<') continue; // a mapping may take in several others
    const name = String(key.value);
    if (seen.has(name) && told++ < MAX_COMPLAINTS) tell(startOf(key), (key.range?.[1] ?? 0) - startOf(key));
    seen.add(name);
  }
}

function toPlain(doc: Document.Parsed, file: string): Record<string, unknown> {
  let value: Record<string, unknown>;
  try {
    value = doc.toJS({ maxAliasCount: MAX_ALIASES }) as Record<string, unknown>; // the contents are a mapping
  } catch (cause) {
    throw new QuantError(
      'RECIPE_FORMAT',
      `the aliases of the recipe cannot be resolved: ${cause instanceof Error ? cause.message : String(cause)}`,
      { where: { file }, hint: 'write the values out', cause },
    );
  }
  refuseDeepValue(value, file);
  return value;
}

/** Aliases can nest deeper than the text, or for ever. */
function refuseDeepValue(root: unknown, file: string): void {
  const open: { value: unknown; depth: number }[] = [{ value: root, depth: 0 }];
  for (let seen = 0; open.length; seen++) {
    const { value, depth } = open.pop()!; // the loop condition says there is one
    if (depth > MAX_DEPTH || seen > MAX_BYTES)
      throw new QuantError(
        'RECIPE_FORMAT',
        `the recipe is nested deeper than ${MAX_DEPTH} levels through its aliases`,
        { where: { file }, hint: 'an anchor must not contain its own alias' },
      );
    if (typeof value === 'object' && value !== null)
      for (const child of Object.values(value)) open.push({ value: child, depth: depth + 1 });
  }
}

const startOf = (node: YamlNode): number => node.range?.[0] ?? 0;

/**
 * Start and end of what a path names in the text; where it is not written out, of the deepest thing above it that is.
 */
function rangeOf(root: unknown, path: Path, atKey: boolean): [number, number] {
  let found: [number, number] = [0, 1];
  let node: unknown = root;
  for (const [i, part] of path.entries()) {
    let next: unknown;
    if (isSeq(node)) next = node.items[Number(part)];
    else if (isMap(node)) {
      const pair: Pair | undefined = node.items.find(
        (p) => isPair(p) && isScalar(p.key) && String(p.key.value) === String(part),
      );
      if (!pair) break;
      const key = isNode(pair.key) ? pair.key.range : undefined;
      if (key) found = [key[0], key[1]];
      next = pair.value;
      if (atKey && i === path.length - 1) return found;
    }
    if (!isNode(next)) break;
    // A mapping or list is pointed at by its key; only values on their own are underlined.
    if (
      next.range &&
      (isScalar(next) || isAlias(next) || i < path.length - 1 || isSeq(node)) &&
      next.range[1] > next.range[0]
    )
      found = [next.range[0], isScalar(next) || isAlias(next) ? next.range[1] : next.range[0] + 1];
    node = next;
  }
  return found;
}

const WORDS = {
  DUPLICATE_KEY: 'this key is given twice',
  TAB_AS_INDENT: 'a tab indents this line',
  MULTIPLE_DOCS: 'the file holds more than one YAML document',
} as const;
const wordsOf = (code: string, message: string): string =>
  Object.entries(WORDS).find(([known]) => known === code)?.[1] ?? message;
