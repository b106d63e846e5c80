/** Generates src/onnx/proto.js and proto.d.ts from src/onnx/onnx.proto: `npm run proto` after editing the schema. */
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const cli = dirname(createRequire(import.meta.url).resolve('protobufjs-cli/package.json'));
const run = (tool, ...args) =>
  execFileSync(process.execPath, [join(cli, 'bin', tool), ...args], { cwd: root, stdio: 'inherit' });

// Comments stay: pbts reads the types from them.
run(
  'pbjs',
  '-t',
  'static-module',
  '-w',
  'esm',
  '--dependency',
  'protobufjs/minimal.js',
  '--no-verify',
  '--no-convert',
  '--no-delimited',
  '--no-typeurl',
  '-o',
  'src/onnx/proto.js',
  'src/onnx/onnx.proto',
);
run('pbts', '-o', 'src/onnx/proto.d.ts', 'src/onnx/proto.js');
