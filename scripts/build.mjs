/** `npm run build`: compiles src to dist and the WebAssembly kernels to dist/kernels.wasm. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const root = path.dirname(path.dirname(new URL(import.meta.url).pathname));
const require = createRequire(import.meta.url);
const node = (script, ...args) => execFileSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' });

mkdirSync(path.join(root, 'dist'), { recursive: true });
node(require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.json');
for (const file of ['onnx/proto.js', 'onnx/proto.d.ts']) if (existsSync(path.join(root, 'src', file))) cpSync(path.join(root, 'src', file), path.join(root, 'dist', file));

node(
  path.join(path.dirname(require.resolve('assemblyscript/package.json')), 'bin', 'asc.js'),
  'assembly/kernels.ts', '-o', 'dist/kernels.wasm', '-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd', '--enable', 'bulk-memory', '--memoryBase', '655360', '--initialMemory', '11', '--use', 'abort=',
);
