/** Whether the files that a recipe names are there, told at the place in the recipe where they are named. */
import { item } from '../base/lists.js';
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { nearest, QuantError, type ErrorCode } from '../base/errors.js';
import { reason } from '../base/files.js';
import { PATH_KEYS } from '../data/spec.js';
import type { ResolvedRecipe } from './load.js';
import { isPlain } from './override.js';
import { gather, type Path } from './text.js';

const DATA_KEYS = PATH_KEYS;
/** Of npz they are keys within the archive. */
const NPY_KEYS: readonly string[] = ['labels', 'targets'];

interface Named {
  readonly at: Path;
  readonly file: string;
  readonly code: ErrorCode;
  readonly what: string;
}

/**
 * Throws MODEL_MISSING, DATA_MISSING or DATA_MODULE with line and column, all at once, where a path of the recipe leads
 * nowhere. Patterns are left to who reads them.
 */
export function checkFiles(r: ResolvedRecipe): void {
  const errors = namedIn(r).flatMap(({ at, file, code, what }) => {
    const lost = /[*?{]/.test(path.basename(file)) ? undefined : whyLost(path.resolve(r.baseDir, file));
    if (lost === undefined) return [];
    if (lost !== '') return [complaintAt(r, code, `${what} "${file}" cannot be read: ${lost}`, at)];
    const near = nearestPath(r.baseDir, file);
    const hint =
      near === undefined ? `paths of a recipe are relative to its folder, ${r.baseDir}` : `did you mean "${near}"?`;
    return [complaintAt(r, code, `${what} "${file}" does not exist`, at, hint)];
  });
  if (errors.length) throw gather(errors);
}

/**
 * Empty where nothing lies at a path; another reason, such as a link that goes round; undefined where something does.
 */
function whyLost(file: string): string | undefined {
  try {
    statSync(file);
    return undefined;
  } catch (error) {
    return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
      ? ''
      : reason(error);
  }
}

/** An error at a place of the recipe, with line and column where it came from a file. */
export function complaintAt(r: ResolvedRecipe, code: ErrorCode, message: string, at: Path, hint?: string): QuantError {
  return (
    r.complain?.(code, message, at, hint) ??
    new QuantError(code, message, { where: r.file === undefined ? {} : { file: r.file }, hint })
  );
}

function namedIn({ recipe }: ResolvedRecipe): Named[] {
  const {
    model,
    calibration,
    evaluation,
    train,
    distill,
    export: { from },
  } = recipe;
  const sections = [
    ['calibration', calibration.data],
    ['evaluation', evaluation.data],
    ['train', train?.data],
  ] as const;
  const data = sections.flatMap(([section, spec]) =>
    Object.entries(spec ?? {}).flatMap(([key, value]) => {
      const isPath =
        (DATA_KEYS.includes(key) && !(key === 'classes' && Array.isArray(value))) ||
        (NPY_KEYS.includes(key) && spec?.npy !== undefined);
      return isPath
        ? texts(value, [section, 'data', key]).map(([at, file]): Named => ({
            at,
            file,
            code: key === 'module' ? 'DATA_MODULE' : 'DATA_MISSING',
            what: key,
          }))
        : [];
    }),
  );
  const modules = (evaluation.metrics ?? []).flatMap((m, i): Named[] =>
    'module' in m && !('name' in m)
      ? [{ at: ['evaluation', 'metrics', i, 'module'], file: m.module, code: 'DATA_MISSING', what: 'metric module' }]
      : [],
  );
  const others = (['teacher', 'student'] as const).flatMap((who): Named[] => {
    const file = distill?.[who]?.model;
    return file === undefined ? [] : [{ at: ['distill', who, 'model'], file, code: 'MODEL_MISSING', what: who }];
  });
  return [
    ...(model === undefined ? [] : [{ at: ['model'], file: model, code: 'MODEL_MISSING', what: 'model' } as const]),
    ...others,
    ...(from === undefined
      ? []
      : [{ at: ['export', 'from'], file: from, code: 'DATA_MISSING', what: 'folder' } as const]),
    ...data,
    ...modules,
  ];
}

/** The texts of a value, which may be a list or a mapping of them, each with its place. */
function texts(value: unknown, at: Path): [Path, string][] {
  if (typeof value === 'string') return [[at, value]];
  if (Array.isArray(value)) return value.flatMap((v, i) => texts(v, [...at, i]));
  return isPlain(value) ? Object.entries(value).flatMap(([k, v]) => texts(v, [...at, k])) : [];
}

/** The path with its first part that is not there replaced by the nearest name in that folder. */
function nearestPath(baseDir: string, file: string): string | undefined {
  const parts = file.split(/[\\/]/);
  for (let i = 0; i < parts.length; i++) {
    const above = path.resolve(baseDir, parts.slice(0, i).join('/') || (path.isAbsolute(file) ? '/' : '.'));
    // within the parts
    if (parts[i] === '' || parts[i] === '.' || parts[i] === '..' || existsSync(path.join(above, item(parts, i))))
      continue;
    let names: string[];
    try {
      names = readdirSync(above);
    } catch {
      return undefined;
    }
    const near = nearest(
      item(parts, i),
      names.filter((n) => !n.startsWith('.')),
    );
    return near === undefined
      ? undefined
      : [
          ...parts.slice(0, i),
          near,
          ...(existsSync(path.join(above, near, ...parts.slice(i + 1))) ? parts.slice(i + 1) : []),
        ].join('/');
  }
  return undefined;
}
