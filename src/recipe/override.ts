/** Changes to a recipe from the command line: `--set key=value` and redirected data. */
import path from 'node:path';
import { nearest, QuantError } from '../base/errors.js';
import { guessDataSpec } from '../data/init.js';
import { PATH_KEYS, SOURCE_KINDS, type SourceKind } from '../data/spec.js';
import { keysAt, type JsonSchema } from './json-schema.js';
import { parseRecipeText } from './text.js';

export type Plain = Record<string, unknown>;
export const isPlain = (v: unknown): v is Plain => typeof v === 'object' && v !== null && !Array.isArray(v);

/** The key path of `--set path.to.key=value` and its value, read as YAML. Throws USAGE. */
export function parseSetting(text: string): { readonly path: readonly (string | number)[]; readonly value: unknown } {
  const where = { file: `--set ${text}` };
  const equals = text.indexOf('=');
  const key = text.slice(0, Math.max(0, equals)).trim();
  if (equals < 1 || !/^[^.[\]]+(\.[^.[\]]+|\[\d+\])*$/.test(key))
    throw new QuantError('USAGE', `"${text}" is not a setting`, {
      where,
      hint: 'write --set path.to.key=value, such as --set quantize.activations.observer=kl',
    });
  const parts = [...key.matchAll(/[^.[\]]+/g)].map(([part]) => (/^\d+$/.test(part) ? Number(part) : part));
  // Through the same parser as recipes, so that the same limits hold.
  const { value } = parseRecipeText(new TextEncoder().encode(`value: ${text.slice(equals + 1)}`), where.file);
  return { path: parts, value: value.value };
}

/**
 * Puts a setting into a plain recipe, making mappings on the way. Throws RECIPE_UNKNOWN_KEY for keys that no recipe
 * has, USAGE for list positions beyond the end.
 */
export function applySetting(recipe: Plain, text: string, schema?: JsonSchema): readonly (string | number)[] {
  const { path: parts, value } = parseSetting(text);
  const where = { file: `--set ${text}` };
  let at: unknown = recipe;
  for (const [i, part] of parts.entries()) {
    const above = parts.slice(0, i);
    if (Array.isArray(at)) {
      if (typeof part !== 'number' || part > at.length)
        throw new QuantError(
          'USAGE',
          `"${part}" is not a position in the list \`${above.join('.')}\` of ${at.length}`,
          { where, hint: at.length ? `positions: 0 to ${at.length - 1}; ${at.length} appends` : '0 appends' },
        );
    } else {
      const keys = keysAt(above, recipe, schema);
      if (keys.length && !keys.includes(String(part))) {
        const near = nearest(String(part), keys);
        throw new QuantError(
          'RECIPE_UNKNOWN_KEY',
          `"${part}" is not a key of ` +
            `${above.length ? `\`${above.join('.')}\`` : 'a recipe'}.${near ? ` Did you mean "${near}"?` : ''}`,
          { where, hint: `keys: ${keys.join(', ')}` },
        );
      }
    }
    const holder = at as Record<string | number, unknown>; // made a mapping or list by the step before
    if (i === parts.length - 1) {
      holder[part] = value;
      break;
    }
    const next = Object.hasOwn(holder, part) ? holder[part] : undefined;
    if (isPlain(next) || Array.isArray(next)) at = next;
    else {
      // A short form such as `observer: kl` becomes its long form when one of its options is set.
      const made: Plain | unknown[] =
        typeof parts[i + 1] === 'number'
          ? []
          : typeof next === 'string' && keysAt(parts.slice(0, i + 1), recipe, schema).includes('name')
            ? { name: next }
            : {};
      holder[part] = made;
      at = made;
    }
  }
  return parts;
}

const IMAGE_KINDS: readonly SourceKind[] = ['images', 'imageList', 'webdataset', 'synthetic'];
/**
 * Keys that say how data are read, and so hold for other data of the same kind. What belongs to one set (labels, split,
 * order) is not among them.
 */
const HOW = [
  'preprocess',
  'input',
  'classes',
  'columns',
  'batched',
  'shape',
  'dtype',
  'tokenizer',
  'fields',
  'label',
  'target',
  'joint',
  'maxLength',
  'padTo',
  'unit',
  'chatTemplate',
  'special',
  'pack',
  'choices',
  'encoder',
  'decoderStart',
  'inputs',
  'maxPixels',
] as const;
const HOW_IMAGES = ['preprocess', 'input', 'classes', 'maxPixels'] as const;
const kindOf = (data: Plain): SourceKind | undefined => SOURCE_KINDS.find((k) => data[k] !== undefined);

/** `data` completed with what `from` says about reading data of its kind. Keys that `data` gives stay. */
export function inherit(data: Plain, from: Plain): Plain {
  const [kind, other] = [kindOf(data), kindOf(from)];
  if (!kind || !other) return data;
  const keys: readonly string[] =
    kind === other ? HOW : IMAGE_KINDS.includes(kind) && IMAGE_KINDS.includes(other) ? HOW_IMAGES : [];
  return { ...Object.fromEntries(keys.filter((k) => from[k] !== undefined).map((k) => [k, from[k]])), ...data };
}

/**
 * A data spec that reads `file` (relative to the working directory) as `existing` did: the same kind of data keeps its
 * settings, another kind starts from what its name and header tell. Throws what guessing throws, if nothing else says
 * the kind.
 */
export async function redirectData(
  existing: Plain | undefined,
  file: string,
  baseDir: string,
  cwd: string,
): Promise<Plain> {
  const absolute = path.resolve(cwd, file);
  const here = (p: string): string => relativePath(baseDir, p);
  const kind = existing && kindOf(existing);
  let guessed: Plain | undefined;
  try {
    guessed = await guessDataSpec(absolute);
  } catch (error) {
    if (!existing || !kind) throw error;
  }
  // A shard without labels looks like an archive of images; the recipe says which it is.
  const shard = kind === 'webdataset' && /\.tar$/i.test(absolute);
  if (existing && kind && (!guessed || shard || kind === kindOf(guessed)))
    return { ...existing, [kind]: here(absolute) };
  for (const key of PATH_KEYS) {
    const value = guessed?.[key];
    if (guessed && typeof value === 'string') guessed[key] = here(value);
  }
  return existing ? inherit(guessed ?? {}, existing) : (guessed ?? {});
}

/** A path as a recipe in `baseDir` writes it, with forward slashes. */
export function relativePath(baseDir: string, file: string): string {
  return (path.relative(baseDir, path.resolve(baseDir, file)) || '.').split(path.sep).join('/');
}
