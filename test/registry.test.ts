/** Every plug-in file is listed, named like its plug-in, and says what it is. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { adjustments } from '../src/adjust/index.js';
import { sparsityMethods } from '../src/compress/sparsity/index.js';
import { weightMethods } from '../src/codes/index.js';
import { observers } from '../src/calibrate/observers/index.js';
import { losses } from '../src/autodiff/losses/index.js';
import { optimisers } from '../src/autodiff/optimisers/index.js';
import { metrics } from '../src/evaluate/metrics/index.js';
import { augmentations } from '../src/data/augment/index.js';
import { importances } from '../src/compress/importance/index.js';
import { compressions } from '../src/compress/index.js';
import { exporters } from '../src/exporters/index.js';
import { learnedMethods } from '../src/learn/index.js';
import { formats } from '../src/formats/index.js';
import { ops } from '../src/ops/index.js';
import { everyPass } from '../src/passes/presets.js';
import { codings } from '../src/scheme/codings/index.js';
import { schedules } from '../src/train/schedules/index.js';
import { targets } from '../src/targets/index.js';

const root = fileURLToPath(new URL('..', import.meta.url));
interface Plugin {
  readonly name: string;
  readonly doc: string;
}
const isPlugin = (v: unknown): v is Plugin =>
  typeof v === 'object' &&
  v !== null &&
  'name' in v &&
  'doc' in v &&
  typeof v.name === 'string' &&
  typeof v.doc === 'string';
const camel = (name: string): string => name.replace(/-(\w)/g, (_, c: string) => c.toUpperCase());

/** Plug-ins that a folder's files export, by file. */
async function exported(folder: string): Promise<{ file: string; key: string; plugin: Plugin }[]> {
  const dir = path.join(root, 'src', folder);
  const inFolders = readdirSync(dir, { withFileTypes: true }).flatMap((d) =>
    d.isDirectory() && existsSync(path.join(dir, d.name, 'index.ts')) ? [`${d.name}/index.ts`] : [],
  );
  const alone = readdirSync(dir).filter(
    (f) => f.endsWith('.ts') && !['index.ts', 'types.ts', 'presets.ts'].includes(f),
  );
  const files = folder === 'targets' ? inFolders : alone;
  const found = await Promise.all(
    files.map(async (file) => {
      const module: unknown = await import(pathToFileURL(path.join(dir, file)).href);
      return Object.entries(module as Record<string, unknown>)
        .filter(([, v]) => isPlugin(v))
        .map(([key, v]) => ({ file, key, plugin: v as Plugin })); // filtered by isPlugin
    }),
  );
  return found.flat();
}

describe.each<[folder: string, listed: readonly Plugin[]]>([
  ['calibrate/observers', observers],
  ['evaluate/metrics', metrics],
  ['formats', formats],
  ['targets', targets],
  ['passes', everyPass],
  ['adjust', adjustments],
  ['compress/sparsity', sparsityMethods],
  ['scheme/codings', codings],
  ['codes', weightMethods],
  ['learn', learnedMethods],
  ['exporters', exporters],
  ['autodiff/losses', losses],
  ['autodiff/optimisers', optimisers],
  ['train/schedules', schedules],
  ['data/augment', augmentations],
  ['compress', compressions],
  ['compress/importance', importances],
])('src/%s', (folder, listed) => {
  it('lists every plug-in that its files export', async () => {
    const found = await exported(folder);
    expect(found.length).toBeGreaterThanOrEqual(1);
    const missing = found
      .filter(({ plugin }) => !listed.some((l) => l.name === plugin.name))
      .map(({ file, plugin }) => `${plugin.name} of ${file}`);
    // Opset conversion runs before the passes, with a target opset of its own.
    expect(missing.filter((m) => !m.startsWith('convert-opset'))).toEqual([]);
  });
  it('names them once, in kebab-case, and documents them with a sentence', () => {
    expect(new Set(listed.map((l) => l.name)).size).toBe(listed.length);
    for (const { name, doc } of listed) {
      expect(name).toMatch(/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/);
      expect(doc, name).toMatch(/^\w.*\.$/s);
    }
  });
  it('exports each under its name', async () => {
    const wrong = (await exported(folder)).filter(
      ({ key, plugin }) =>
        !key.toLowerCase().startsWith(camel(plugin.name).toLowerCase().slice(0, key.length)) ||
        key.length < camel(plugin.name).length,
    );
    expect(wrong.map(({ key, plugin }) => `${key} is ${plugin.name}`)).toEqual([]);
  });
});

describe('targets', () => {
  it('have a source for every constraint', () => {
    for (const t of targets) {
      expect(t.source).toMatch(/^https:\/\//);
      for (const q of t.quirks) expect(q.source, q.code).toMatch(/^https:\/\//);
      for (const o of t.ownOps) expect(o.source, o.op).toMatch(/^https:\/\//);
    }
  });
  it('name only formats and operators that exist', () => {
    const names = new Set(ops.map((o) => o.op));
    for (const t of targets) {
      expect(t.formats.filter((f) => !formats.some((x) => x.name === f))).toEqual([]);
      expect([...Object.keys(t.integerOps), ...t.passthroughOps, ...t.onCodes].filter((op) => !names.has(op))).toEqual(
        [],
      );
      expect(t.ownOps.filter((o) => !ops.some((x) => `${x.domain}:${x.op}` === o.op))).toEqual([]);
    }
  });
  it('have what passes build beyond the standard', () => {
    const own = targets.flatMap((t) => t.ownOps.map((o) => o.op));
    expect(everyPass.filter((p) => p.needs !== undefined && !own.includes(p.needs)).map((p) => p.name)).toEqual([]);
  });
});

describe('the package', () => {
  it('locks no download addresses, so that any registry mirror serves', () => {
    expect(readFileSync(path.join(root, 'package-lock.json'), 'utf8')).not.toMatch(/"resolved":/);
  });
  it('downloads no CUDA libraries: the lock file has no install script for onnxruntime-node', () => {
    const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { hasInstallScript?: boolean }>;
    }; // npm's own format
    expect(lock.packages['node_modules/onnxruntime-node']).toBeDefined();
    expect(lock.packages['node_modules/onnxruntime-node']!.hasInstallScript).toBeUndefined();
  });
  it('locks the packages of every platform, so that npm ci works elsewhere', () => {
    const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>;
    }; // as above
    const named = Object.values(lock.packages).flatMap((p) => Object.keys(p.optionalDependencies ?? {}));
    expect(named.length).toBeGreaterThan(40);
    expect(named.filter((n) => !Object.keys(lock.packages).some((at) => at.endsWith(`node_modules/${n}`)))).toEqual([]);
  });
});
