/** Turns what zod found into errors that say what was seen and what would be right. */
import type { z } from 'zod';
import { nearest, type ErrorCode } from '../base/errors.js';
import { keysAt, recipeJsonSchema, type JsonSchema } from './json-schema.js';
import type { Path } from './text.js';
import { targets } from '../targets/index.js';

type Issue = z.core.$ZodIssue;
export interface Complaint {
  readonly code: ErrorCode;
  readonly message: string;
  readonly path: Path;
  readonly hint: string | undefined;
  /** Whether the key is wrong, and not its value. */
  readonly atKey: boolean;
  /** A key that is not there. */
  readonly missing?: true;
  /** The key that an unknown one was probably meant to be. */
  readonly meant?: Path;
}

/** Without complaints that a key is missing which is only misspelt; misspelt keys come first. */
export function withoutEchoes(complaints: readonly Complaint[]): Complaint[] {
  const meant = new Set(complaints.flatMap((c) => (c.meant ? [keyText(c.meant)] : [])));
  const kept = complaints.filter(
    (c) => !c.missing || !c.path.some((_, i) => meant.has(keyText(c.path.slice(0, i + 1)))),
  );
  return [...kept.filter((c) => c.meant), ...kept.filter((c) => !c.meant)];
}

/** Mistakes that are looked into: more than are told, since misspelt keys come first. */
const MOST_ISSUES = 100;

/**
 * Readable complaints, one per mistake, of the first hundred. `value` is the input that the issues are about; `schema`
 * that of the recipe, where it is not the plain one.
 */
export function complaintsOf(issues: readonly Issue[], value: unknown, schema?: JsonSchema): Complaint[] {
  // made where a key is unknown, and then once
  const keysOf: KeysOf = (path) => keysAt(path, value, (schema ??= recipeJsonSchema()));
  return issues.slice(0, MOST_ISSUES).flatMap((i) => explain(i, [], value, keysOf));
}
type KeysOf = (path: Path) => readonly string[];

function explain(issue: Issue, base: Path, root: unknown, keysOf: KeysOf): Complaint[] {
  const path = [...base, ...issue.path];
  const seen = valueAt(root, path);
  const name = path.length ? `\`${keyText(path)}\`` : 'the recipe';
  const invalid = (message: string, hint?: string): Complaint[] => [
    { code: 'RECIPE_INVALID', message, path, hint, atKey: false },
  ];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.slice(0, MOST_ISSUES).map((key) => unknownKey(key, path, keysOf(path)));
    case 'invalid_value':
      return [wrongChoice(path, seen, issue.values.map(String))];
    case 'invalid_union': {
      if ('options' in issue && Array.isArray(issue.options))
        return [wrongChoice(path, seen, issue.options.map(String))];
      const branch = likelyBranch(issue.errors, seen);
      if (branch) return branch.flatMap((i) => explain(i, path, root, keysOf));
      const wanted = [
        ...new Set(issue.errors.flatMap((list) => list.filter((i) => i.path.length === 0).map(expectation))),
      ].join(' or ');
      return seen === undefined
        ? missing(path, wanted)
        : invalid(`${name} is ${shown(seen)}`, wanted ? `expected ${wanted}` : undefined);
    }
    case 'invalid_type':
      return seen === undefined
        ? missing(path, expectation(issue))
        : invalid(`${name} is ${shown(seen)}, which is not ${expectation(issue)}`);
    case 'too_small':
    case 'too_big':
      return invalid(`${name} is ${shown(seen)}; it must be ${expectation(issue)}`);
    case 'invalid_format':
      return invalid(`${name} is ${shown(seen)}`, issue.message);
    case 'custom':
      return invalid(
        path.length && !issue.message.includes(String(path.at(-1))) ? `${name}: ${issue.message}` : issue.message,
      );
    default:
      return invalid(`${name} is ${shown(seen)}: ${issue.message}`);
  }
}

const missing = (path: Path, wanted: string): [Complaint] => [
  {
    code: 'RECIPE_INVALID',
    message: `\`${keyText(path)}\` is missing`,
    path,
    hint: path.length === 1 && path[0] === 'version' ? 'write `version: 1`' : `give ${wanted}`,
    atKey: false,
    missing: true,
  },
];

function unknownKey(key: string, path: Path, keys: readonly string[]): Complaint {
  const near = nearest(key, keys);
  return {
    code: 'RECIPE_UNKNOWN_KEY',
    path: [...path, key],
    atKey: true,
    ...(near === undefined ? {} : { meant: [...path, near] }),
    message:
      `"${key}" is not a key of ` +
      `${path.length ? `\`${keyText(path)}\`` : 'a recipe'}.${near ? ` Did you mean "${near}"?` : ''}`,
    hint: keys.length ? `keys: ${keys.join(', ')}` : undefined,
  };
}

function wrongChoice(path: Path, seen: unknown, values: readonly string[]): Complaint {
  const key = String(path.at(-1));
  if (seen === undefined) return missing(path, values.join(' or '))[0];
  if (key === 'version')
    return {
      code: 'RECIPE_INVALID',
      path,
      atKey: false,
      message: `version ${shown(seen)} of the recipe format is not known`,
      hint: `this quantbench reads version ${values.join(', ')}`,
    };
  const kind =
    path.includes('metrics') && (key === 'name' || typeof path.at(-1) === 'number')
      ? 'metric'
      : path.includes('observer')
        ? 'observer'
        : key;
  const plugin = ['metric', 'observer', 'target', 'format'].includes(kind);
  const near = typeof seen === 'string' ? (meantBy(kind, seen, values) ?? nearest(seen, values)) : undefined;
  return {
    code: plugin && typeof seen === 'string' ? 'RECIPE_UNKNOWN_NAME' : 'RECIPE_INVALID',
    path,
    atKey: false,
    message:
      `${shown(seen)} is not ` +
      `${plugin ? `${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind}` : `a value of \`${keyText(path)}\``}.${
        near ? ` Did you mean "${near}"?` : ''
      }`,
    hint: `${plugin ? `${kind}s` : 'values'}: ${values.join(', ')}`,
  };
}

/** What other tools and people call things, in lower case without marks: no spelling leads from these to ours. */
const CALLED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  metric: {
    accuracy: 'top1',
    acc: 'top1',
    categoricalaccuracy: 'top1',
    accuracyscore: 'top1',
    top1accuracy: 'top1',
    top5accuracy: 'top5',
    balancedaccuracy: 'class-accuracy',
    meanrecall: 'class-accuracy',
    f1score: 'f1',
    fscore: 'f1',
    rocauc: 'auc',
    auroc: 'auc',
    meanaverageprecision: 'map',
    map50: 'map',
    ap: 'map',
    worderrorrate: 'wer',
    ppl: 'perplexity',
    correlation: 'pearson',
    snr: 'sqnr',
    l2: 'mse',
    meansquarederror: 'mse',
    cosinesimilarity: 'cosine',
  },
  observer: {
    entropy: 'kl',
    kldivergence: 'kl',
    histogram: 'kl',
    movingaverage: 'ema',
    movingaverageminmax: 'ema',
    max: 'minmax',
    quantile: 'percentile',
  },
  format: {
    int8: 'qdq',
    static: 'qdq',
    quint8: 'qdq',
    fp16: 'float16',
    half: 'float16',
    int4: 'weight-only',
    weightonly: 'weight-only',
    operator: 'qoperator',
    fp32: 'float',
    float32: 'float',
    none: 'float',
  },
  target: Object.fromEntries(targets.flatMap((t) => (t.aliases ?? []).map((alias) => [alias, t.name]))),
};
/** Which of the metrics that are measured a name may mean, as a hint; undefined where none is near. */
export function metricHint(
  seen: string | undefined,
  measured: readonly { readonly name: string }[],
): string | undefined {
  const names = measured.map((m) => m.name);
  const near = seen === undefined ? undefined : (meantBy('metric', seen, names) ?? nearest(seen, names));
  return near === undefined ? undefined : `did you mean "${near}"?`;
}
function meantBy(kind: string, seen: string, values: readonly string[]): string | undefined {
  const meant = new Map(Object.entries(CALLED[kind] ?? {})).get(seen.toLowerCase().replace(/[^a-z0-9]/g, ''));
  return meant !== undefined && values.includes(meant) ? meant : undefined;
}

/**
 * The alternative that the input meant: of the right type, then with the fewest mistakes; undefined where none has its
 * type.
 */
function likelyBranch(alternatives: readonly (readonly Issue[])[], seen: unknown): readonly Issue[] | undefined {
  const fitting = alternatives.filter(
    (issues) =>
      !issues.some(
        (i) =>
          i.path.length === 0 &&
          (i.code === 'invalid_type' ||
            (i.code === 'invalid_value' && !i.values.some((v) => typeof v === typeof seen))),
      ),
  );
  const cost = (issues: readonly Issue[]): number =>
    issues.filter((i) => i.code === 'unrecognized_keys').length * 10 + issues.length;
  return fitting.sort((a, b) => cost(a) - cost(b))[0];
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a mapping',
  array: 'a list',
  record: 'a mapping',
};

function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return TYPE_WORDS[issue.expected] ?? `a ${issue.expected}`;
    case 'invalid_value':
      return issue.values.join(', ');
    case 'too_small':
      return (
        `${issue.origin === 'string' ? 'text of ' : issue.origin === 'array' ? 'a list of ' : ''}${
          issue.inclusive ? 'at least' : 'above'
        } ` + `${issue.minimum}${issue.origin === 'string' ? ' character' : ''}`
      );
    case 'too_big':
      return `${issue.origin === 'array' ? 'a list of ' : ''}${issue.inclusive ? 'at most' : 'below'} ${issue.maximum}`;
    default:
      return issue.message;
  }
}

/** A path as a user writes it: quantize.exclude[0].opType. */
export const keyText = (path: Path): string =>
  path.map((p, i) => (typeof p === 'number' ? `[${p}]` : `${i ? '.' : ''}${String(p)}`)).join('');

function valueAt(root: unknown, path: Path): unknown {
  let at = root;
  for (const part of path)
    at =
      typeof at === 'object' && at !== null && Object.hasOwn(at, part)
        ? (at as Record<PropertyKey, unknown>)[part]
        : undefined; // any object may be indexed
  return at;
}

function shown(value: unknown): string {
  if (value === null) return 'empty';
  if (typeof value === 'string') return `"${value.length > 60 ? `${value.slice(0, 60)}…` : value}"`;
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'a mapping' : String(value);
}
