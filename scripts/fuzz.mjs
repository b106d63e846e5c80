/** `npm run fuzz`: brings dist up to date, compiles test/fuzz beside it and runs test/fuzz/main.ts from there. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { scriptOf, updateScripts } from './scripts-of-dist.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = path.join(root, 'node_modules', '.cache', 'quantbench-fuzz');

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
    writeFileSync(target, scriptOf(path.join(root, name)));
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
