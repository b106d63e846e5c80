/** What the log of a store adds up to. */
import { fail, nearest } from '../base/errors.js';
import type { GateFacts } from '../record/index.js';
import type { Entry, VersionFile } from './log.js';

/**
 * Where a version stands. A name has at most one canary and one production version; what production left is retired.
 */
export type Stage = 'candidate' | 'canary' | 'production' | 'retired';

export interface Version {
  readonly name: string;
  readonly version: number;
  readonly stage: Stage;
  readonly addedAt: string;
  /** Name of the recipe, or of the model file. */
  readonly source: string;
  readonly files: readonly VersionFile[];
  /** SHA-256 of the run.json, for versions that are runs. */
  readonly record?: string;
  readonly gate?: GateFacts;
}

export interface Named {
  readonly name: string;
  /** Oldest first; numbers start at 1. */
  readonly versions: readonly Version[];
  readonly canary?: number;
  readonly production?: number;
  /** Versions that production held, oldest first, without those that were rolled back; the last is in production. */
  readonly held: readonly number[];
}

/** Every name of the store in alphabetical order. Throws STORE_DAMAGED where a line cannot follow the ones before. */
export function stateOf(entries: readonly Entry[], file: string): readonly Named[] {
  const names = new Map<
    string,
    { versions: Omit<Version, 'stage'>[]; canary: number | undefined; held: number[]; once: Set<number> }
  >();
  entries.forEach(({ change, at }, i) => {
    const damaged = (why: string): never =>
      fail('STORE_DAMAGED', `line ${i + 1} of '${file}' ${why}`, { file, line: i + 1 });
    let here = names.get(change.name);
    if (!here) names.set(change.name, (here = { versions: [], canary: undefined, held: [], once: new Set() }));
    switch (change.op) {
      case 'add': {
        if (change.version !== here.versions.length + 1)
          damaged(`adds version ${change.version} of '${change.name}' after ${here.versions.length}`);
        const { name, version, source, files, record, gate } = change;
        here.versions.push({
          name,
          version,
          source,
          files,
          addedAt: at,
          ...(record === undefined ? {} : { record }),
          ...(gate ? { gate: gate } : {}),
        }); // the schema is that of GateFacts
        return;
      }
      case 'promote':
        if (change.version > here.versions.length)
          damaged(`promotes version ${change.version} of '${change.name}', which there is not`);
        if (here.canary === change.version) here.canary = undefined;
        if (change.to === 'canary') here.canary = change.version;
        else if (change.to === 'production') {
          here.held.push(change.version);
          here.once.add(change.version);
        }
        return;
      case 'rollback':
        if (here.held.at(-1) !== change.from || here.held.at(-2) !== change.to)
          damaged(`rolls '${change.name}' back from ${change.from} to ${change.to}, which production did not hold`);
        here.held.pop();
        return;
    }
  });
  return [...names]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { versions, canary, held, once }]) => {
      const production = held.at(-1);
      const stage = (v: number): Stage =>
        v === production ? 'production' : v === canary ? 'canary' : once.has(v) ? 'retired' : 'candidate';
      return {
        name,
        versions: versions.map((v) => ({ ...v, stage: stage(v.version) })),
        held,
        ...(canary === undefined ? {} : { canary }),
        ...(production === undefined ? {} : { production }),
      };
    });
}

/** A name, and perhaps which of its versions: a number or a stage. */
export interface Reference {
  readonly name: string;
  readonly at?: number | 'canary' | 'production' | 'latest';
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
/** `resnet`, `resnet@3`, `resnet@production`, `resnet@canary`, `resnet@latest`. Throws USAGE. */
export function parseReference(text: string): Reference {
  const [name = '', at, ...more] = text.split('@');
  if (more.length || (at !== undefined && !/^([1-9]\d{0,8}|canary|production|latest)$/.test(at)))
    fail('USAGE', `"${text}" names no version`, {}, 'write NAME, NAME@3, NAME@production, NAME@canary or NAME@latest');
  checkName(name);
  // the pattern above allows these words only
  return at === undefined ? { name } : { name, at: /^\d/.test(at) ? Number(at) : (at as 'canary') };
}
/** Throws USAGE for a name that is not safe as a word of a path, a reference or a report. */
export function checkName(name: string): void {
  if (!NAME.test(name))
    fail(
      'USAGE',
      `"${name}" cannot be the name of a model`,
      {},
      'use letters, digits, dots, dashes and underscores, starting with a letter or digit, 100 at most',
    );
}

/** Throws STORE_UNKNOWN with the nearest name. */
export function findName(names: readonly Named[], name: string): Named {
  const found = names.find((n) => n.name === name);
  const near = nearest(
    name,
    names.map((n) => n.name),
  );
  return (
    found ??
    fail(
      'STORE_UNKNOWN',
      `the store has no "${name}".${near === undefined ? '' : ` Did you mean "${near}"?`}`,
      {},
      '`quantize store list` shows what it has',
    )
  );
}

/** The version that a reference means; without one, that in production, else the latest. Throws STORE_UNKNOWN. */
export function findVersion(names: readonly Named[], { name, at }: Reference): Version {
  const here = findName(names, name);
  const number =
    at === undefined
      ? (here.production ?? here.versions.length)
      : at === 'latest'
        ? here.versions.length
        : typeof at === 'number'
          ? at
          : here[at];
  return (
    here.versions.find((v) => v.version === number) ??
    fail(
      'STORE_UNKNOWN',
      typeof at === 'number'
        ? `"${name}" has no version ${at}; it has 1 to ${here.versions.length}`
        : `"${name}" has no version in ${at ?? 'the store'}`,
      {},
      `\`quantize store list\` shows what it has`,
    )
  );
}
