/**
 * `npm run build`: compiles src to dist and the WebAssembly kernels to dist/kernels.wasm and dist/linear.wasm, and
 * links the command, so that `npx quantize` in this folder runs it. Leaves early where dist was made from the same
 * inputs.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { hashesOf, stamp as stampScripts } from './scripts-of-dist.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
const dist = path.join(root, 'dist');
const stamp = path.join(dist, '.inputs');

linkCommand();
const sources = hashesOf(root); // as they are before the compilers read them
const inputs = hashOfInputs();
if (existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs) process.exit(0);

mkdirSync(dist, { recursive: true });
for (const name of ['.inputs', '.sources']) rmSync(path.join(dist, name), { force: true }); // half a build is no build
node(require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.json');
for (const file of ['onnx/proto.js', 'onnx/proto.d.ts']) cpSync(path.join(root, 'src', file), path.join(dist, file));
copyAdapters();
keepWhatIsReached();
assemblyScript('kernels', '--memoryBase', '655360', '--initialMemory', '11');
// its memory grows with the matrices, and threads share it
assemblyScript(
  'linear',
  ...['--importMemory', '--sharedMemory', '--enable', 'threads'],
  ...['--initialMemory', '1', '--maximumMemory', '65535', '--memoryBase', '0'],
);
assemblyScript('blocks', '--initialMemory', '1', '--memoryBase', '0'); // its memory grows with what is quantized
stampScripts(root, sources);
writeFileSync(stamp, inputs);

/** Leaves in dist what the sources give now, and of the types only those that index.d.ts leads to: others serve nobody. */
function keepWhatIsReached() {
  const reached = new Set();
  const follow = (file) => {
    if (reached.has(file)) return;
    reached.add(file);
    const text = readFileSync(path.join(dist, file), 'utf8');
    for (const [, to] of text.matchAll(/(?:from |import |import\()['"](\.[^'"]+)\.js['"]/g))
      follow(path.join(path.dirname(file), `${to}.d.ts`));
  };
  follow('index.d.ts');
  for (const file of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
    const source = /\.(d\.ts|js)$/.exec(file);
    if (!source) continue;
    const base = path.join(root, 'src', file.slice(0, source.index));
    const made = existsSync(`${base}.ts`) || existsSync(`${base}.js`);
    if (!made || (source[1] === 'd.ts' && !reached.has(file))) rmSync(path.join(dist, file));
  }
}

/** Python files that run models in their runtimes, where `quantize verify` finds them. */
function copyAdapters() {
  const targets = path.join(root, 'src', 'targets');
  for (const file of readdirSync(targets, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.py')))
    cpSync(path.join(targets, file), path.join(dist, 'targets', file));
}

function node(script, ...args) {
  execFileSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' });
}

function assemblyScript(name, ...args) {
  const compiler = path.join(path.dirname(require.resolve('assemblyscript/package.json')), 'bin', 'asc.js');
  const common = [
    '-O3',
    '--noAssert',
    '--runtime',
    'stub',
    '--enable',
    'simd',
    '--enable',
    'bulk-memory',
    '--use',
    'abort=',
  ];
  node(compiler, `assembly/${name}.ts`, '-o', `dist/${name}.wasm`, ...common, ...args);
}

/** SHA-256 of everything that dist follows from: names and bytes of the sources, and the versions of the compilers. */
function hashOfInputs() {
  const hash = createHash('sha256').update(JSON.stringify(sources));
  const own = ['build.mjs', 'scripts-of-dist.mjs'].map((name) => path.join('scripts', name));
  for (const file of ['package.json', 'tsconfig.json', ...own]) hash.update(readFileSync(path.join(root, file)));
  for (const compiler of ['typescript', 'assemblyscript']) hash.update(require(`${compiler}/package.json`).version);
  return hash.digest('hex');
}

/** npm links the commands of other packages only; without this, npx would install this folder anew at every call. */
function linkCommand() {
  const bin = path.join(root, 'node_modules', '.bin');
  const script = path.join(root, 'bin', 'quantize.js');
  if (!existsSync(bin)) return; // not installed yet, or installed by something else
  if (process.platform === 'win32') {
    writeFileSync(path.join(bin, 'quantize.cmd'), '@node "%~dp0\\..\\..\\bin\\quantize.js" %*\r\n');
    return;
  }
  const link = path.join(bin, 'quantize');
  chmodSync(script, 0o755);
  if (lstatSync(link, { throwIfNoEntry: false })) return;
  symlinkSync(path.relative(bin, script), link);
}
