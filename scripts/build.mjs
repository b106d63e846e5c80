/** `npm run build`: compiles src to dist and the WebAssembly kernels to dist/kernels.wasm and dist/linear.wasm. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const root = path.dirname(path.dirname(new URL(import.meta.url).pathname));
const require = createRequire(import.meta.url);
const node = (script, ...args) => execFileSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' });
const assemblyScript = (name, ...args) => node(
  path.join(path.dirname(require.resolve('assemblyscript/package.json')), 'bin', 'asc.js'),
  `assembly/${name}.ts`, '-o', `dist/${name}.wasm`, '-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--enable', 'bulk-memory', '--use', 'abort=', ...args,
);

mkdirSync(path.join(root, 'dist'), { recursive: true });
node(require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.json');
for (const file of ['onnx/proto.js', 'onnx/proto.d.ts']) if (existsSync(path.join(root, 'src', file))) cpSync(path.join(root, 'src', file), path.join(root, 'dist', file));

assemblyScript('kernels', '--memoryBase', '655360', '--initialMemory', '11');
assemblyScript('linear'); // its memory grows with the matrices
