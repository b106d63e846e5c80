/** `npm run fuzz`: brings dist up to date, compiles test/fuzz beside it and runs test/fuzz/main.ts from there. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { updateScripts } from './scripts-of-dist.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = path.join(root, 'node_modules', '.cache', 'quantbench-fuzz');
const options = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ES2022,
  isolatedModules: true,
  verbatimModuleSyntax: true,
};

/** Compiles what is newer than what it was compiled to. */
function compile(folder) {
  mkdirSync(path.join(out, folder), { recursive: true });
  for (const entry of readdirSync(path.join(root, folder), { withFileTypes: true })) {
    const name = path.join(folder, entry.name);
    if (entry.isDirectory()) {
      compile(name);
      continue;
    }
    const target = path.join(out, name.replace(/\.ts$/, '.js'));
    if (/\.d\.ts$|\.test\.ts$/.test(name) || !/\.[jt]s$/.test(name)) continue;
    if (existsSync(target) && statSync(target).mtimeMs > statSync(path.join(root, name)).mtimeMs) continue;
    if (name.endsWith('.js')) cpSync(path.join(root, name), target);
    else
      writeFileSync(
        target,
        ts.transpileModule(readFileSync(path.join(root, name), 'utf8'), { compilerOptions: options }).outputText,
      );
  }
}

updateScripts(root);
for (const folder of ['test/fuzz', 'test/rooms/data']) compile(folder);
const src = path.join(out, 'src'); // what the tests name src is what dist holds
if (!existsSync(src) || realpathSync(src) !== realpathSync(path.join(root, 'dist'))) {
  rmSync(src, { recursive: true, force: true });
  symlinkSync(path.join(root, 'dist'), src, 'junction');
}
writeFileSync(path.join(out, 'package.json'), '{ "type": "module" }\n');
process.argv.splice(2, 0, root);
await import(pathToFileURL(path.join(out, 'test', 'fuzz', 'main.js')).href);
