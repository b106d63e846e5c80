/**
 * Brings the scripts of dist up to the sources without checking types, which takes seconds instead of half a minute.
 * Tests run what dist holds, as users do: the command in a process of its own and the modules they import are one.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

const COMPILER = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ES2022,
  isolatedModules: true,
  verbatimModuleSyntax: true,
};
const KERNELS = ['kernels.wasm', 'linear.wasm'];

/** SHA-256 of every source that a file of dist follows from, by its name from the root with forward slashes. */
export function hashesOf(root) {
  const names = ['src', 'assembly'].flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(ts|js|json)$/.test(file))
      .map((file) => `${folder}/${file.split(path.sep).join('/')}`),
  );
  const hash = (name) =>
    createHash('sha256')
      .update(readFileSync(path.join(root, name)))
      .digest('hex');
  return Object.fromEntries(names.sort().map((name) => [name, hash(name)]));
}

const stampOf = (root) => path.join(root, 'dist', '.sources');
const lacksKernels = (root) => KERNELS.some((name) => !existsSync(path.join(root, 'dist', name)));

/** Says what sources dist was made of. */
export const stamp = (root, hashes) => writeWhole(stampOf(root), JSON.stringify(hashes, undefined, 1));

/** What a source runs as: types taken off where it has some. */
export function scriptOf(file) {
  const text = readFileSync(file, 'utf8');
  return file.endsWith('.ts') ? ts.transpileModule(text, { compilerOptions: COMPILER }).outputText : text;
}

/** Compiles the sources that dist was not made of, one by one; all of dist where it has no stamp or kernels changed. */
export function updateScripts(root) {
  const dist = path.join(root, 'dist');
  const now = hashesOf(root);
  const before = existsSync(stampOf(root)) ? JSON.parse(readFileSync(stampOf(root), 'utf8')) : {};
  const changed = Object.keys({ ...before, ...now }).filter((name) => before[name] !== now[name]);
  if (!changed.length && !lacksKernels(root)) return;
  if (changed.some((name) => name.startsWith('assembly/')) || lacksKernels(root)) {
    execFileSync(process.execPath, [path.join(root, 'scripts', 'build.mjs')], { cwd: root, stdio: 'inherit' });
    return;
  }
  rmSync(path.join(dist, '.inputs'), { force: true }); // the next build checks types and writes declarations
  for (const name of changed) {
    if (name.endsWith('.d.ts')) continue;
    const target = path.join(dist, path.relative('src', name).replace(/\.ts$/, '.js'));
    if (now[name] === undefined) {
      rmSync(target, { force: true });
      continue;
    }
    mkdirSync(path.dirname(target), { recursive: true });
    writeWhole(target, scriptOf(path.join(root, name)));
  }
  stamp(root, now);
}

/** No reader, such as a second run of tests, meets half a file. */
function writeWhole(file, text) {
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, text);
  renameSync(temporary, file);
}
