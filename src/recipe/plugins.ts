/** What a recipe may name beyond its keys: observers and so on, the built-in ones and those of its plug-ins. */
import path from 'node:path';
import { weightMethods as layerwise } from '../codes/index.js';
import type { WeightMethod } from '../codes/types.js';
import { fail, nearest } from '../base/errors.js';
import { sha256File } from '../base/files.js';
import { observers } from '../calibrate/observers/index.js';
import type { Observer } from '../calibrate/types.js';
import { importances } from '../compress/importance/index.js';
import type { Importance } from '../compress/importance/types.js';
import { importModule, kindName, property } from '../data/user-module.js';
import { exporters } from '../exporters/index.js';
import type { Exporter } from '../exporters/types.js';
import { gates } from '../gate/index.js';
import type { Gate } from '../gate/types.js';
import { learnedMethods } from '../learn/index.js';
import { everyPass } from '../passes/presets.js';
import type { Pass } from '../rewrite/pass.js';
import { targets } from '../targets/index.js';
import type { Target } from '../targets/types.js';
import { readImportance } from './plugin-importance.js';
import { readExporter, readGate, readObserver, readPass, readWeightMethod } from './plugin-kinds.js';
import type { Maker, Says } from './plugin-base.js';
import { readTarget } from './plugin-target.js';

/** A plug-in that a recipe lists. */
export interface PluginFile {
  readonly file: string;
  readonly sha256: string;
  /** What it adds, such as `observer mean-of-extremes`. */
  readonly adds: readonly string[];
}

/** All that a recipe may name, in lists. */
export interface Plugins {
  readonly observers: readonly Observer[];
  readonly passes: readonly Pass[];
  readonly weightMethods: readonly WeightMethod[];
  readonly gates: readonly Gate[];
  readonly targets: readonly Target[];
  readonly exporters: readonly Exporter[];
  readonly importances: readonly Importance[];
  /** Where those come from that are not built in. */
  readonly files: readonly PluginFile[];
}
type Kind = Exclude<keyof Plugins, 'files'>;

/** What every recipe may name. */
export const builtIn: Plugins = {
  observers,
  passes: everyPass,
  weightMethods: [...layerwise, ...learnedMethods],
  gates,
  targets,
  exporters,
  importances,
  files: [],
};

const KINDS = {
  observers: 'observer',
  passes: 'pass',
  weightMethods: 'weight method',
  gates: 'gate',
  targets: 'target',
  exporters: 'exporter',
  importances: 'importance',
} as const;
const kinds = Object.keys(KINDS) as Kind[]; // the keys of the table are the kinds
const EXAMPLE = 'export const observers = [ { name, doc, statistic, chooseRange(stats) { … } } ];';

/**
 * The lists with those appended that the ES module `file` exports as `observers`, `passes`, `weightMethods`, `gates`,
 * `targets`, `exporters` or `importances`, by name or within the default export. It runs with the user's rights. Throws
 * RECIPE_PLUGIN for a module that does not load, exports none of these, or something that is none, and for names that
 * are taken; DATA_MISSING.
 */
export async function withPlugin(known: Plugins, file: string): Promise<Plugins> {
  const where = { file };
  const refuse = (message: string, hint = EXAMPLE): never =>
    fail('RECIPE_PLUGIN', message, where, `${hint} See docs/plugins.md.`);
  const wrong = (what: string, hint?: string): never => refuse(`plug-in ${file} ${what}`, hint);
  const module = await importModule(file, 'RECIPE_PLUGIN');
  const hash = sha256File(file);
  const given = (kind: Kind): unknown => property(module, kind) ?? property(property(module, 'default'), kind);
  if (kinds.every((kind) => given(kind) === undefined)) {
    const names = typeof module === 'object' && module !== null ? Object.keys(module) : [];
    const near = names.map((n) => nearest(n, kinds)).find((n) => n !== undefined);
    const meant = near ? `. Did you mean "${near}"?` : '';
    return wrong(`exports ${names.length ? names.join(', ') : 'nothing'}, but none of ${kinds.join(', ')}${meant}`);
  }
  const adds: string[] = [];
  const read = <K extends Kind>(kind: K, make: Maker<Plugins[K][number]>): Plugins[K][number][] => {
    const list = given(kind);
    if (list === undefined) return [];
    if (!Array.isArray(list)) {
      return wrong(`exports ${kindName(list)} as ${kind}, not an array`, `export const ${kind} = [ … ];`);
    }
    return list.map((item: unknown, i) => {
      const name = property(item, 'name');
      const at = `the ${KINDS[kind]} ${typeof name === 'string' ? `"${name}"` : `${kind}[${i}]`}`;
      const says: Says = (what, hint) => refuse(`${at} of plug-in ${file} ${what}`, hint);
      const made = make(item, says);
      if (known[kind].some((x) => x.name === made.name)) says('has a name that is taken', 'give it another name.');
      if (list.findIndex((x) => property(x, 'name') === made.name) < i) says('is there twice', 'give it another name.');
      adds.push(`${KINDS[kind]} ${made.name}`);
      return made;
    });
  };
  const made: Omit<Plugins, 'files'> = {
    observers: [...known.observers, ...read('observers', readObserver(known.observers))],
    passes: [...known.passes, ...read('passes', readPass)],
    weightMethods: [...known.weightMethods, ...read('weightMethods', readWeightMethod)],
    gates: [...known.gates, ...read('gates', readGate)],
    targets: [...known.targets, ...read('targets', readTarget)],
    exporters: [...known.exporters, ...read('exporters', readExporter)],
    importances: [...known.importances, ...read('importances', readImportance)],
  };
  return { ...made, files: [...known.files, { file: path.resolve(file), sha256: hash, adds }] };
}

/** What is built in and what the modules add, in turn. Throws as {@link withPlugin} does. */
export async function loadPlugins(files: readonly string[]): Promise<Plugins> {
  let all = builtIn;
  for (const file of files) all = await withPlugin(all, path.resolve(file));
  return all;
}

/** What results depend on besides the recipe: the contents of its plug-ins; undefined where it has none. */
export const pluginKey = ({ files }: Plugins): readonly string[] | undefined =>
  files.length ? files.map((f) => f.sha256) : undefined;
