/**
 * Runs before the install scripts of all other packages (npm runs every preinstall first). onnxruntime-node downloads
 * CUDA libraries in its own install script, on Linux, from a host that is no package registry, and an install fails
 * where that host is out of reach. The CPU libraries, all that quantbench uses, are in the package. So a file is put
 * before that script which leaves it out; ONNXRUNTIME_NODE_INSTALL=cuda12, or a project that names onnxruntime-node
 * among its own dependencies, keeps it as it is. Never fails: without it, an install is as it would be.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const NOTE = `// Written by quantbench: the CPU libraries are in the package, the CUDA libraries are not downloaded.
// ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node gets them.
if (process.env.ONNXRUNTIME_NODE_INSTALL || process.env.npm_config_onnxruntime_node_install) require('./install.js');
`;

try {
  const folder = path.dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const project = path.join(process.env.INIT_CWD ?? process.cwd(), 'package.json');
  const own = existsSync(project) ? JSON.parse(readFileSync(project, 'utf8')) : {};
  const wanted =
    own.name !== 'quantbench' &&
    [own.dependencies, own.devDependencies, own.optionalDependencies].some((d) => d?.['onnxruntime-node']);
  // `node ./script/install` takes a file of exactly that name before install.js.
  if (!wanted && existsSync(path.join(folder, 'script', 'install.js')))
    writeFileSync(path.join(folder, 'script', 'install'), NOTE);
} catch {
  // No onnxruntime-node to be found, or a folder that cannot be written: its own script has the word.
}
