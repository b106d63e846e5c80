/**
 * Writes what is generated from code: schema/, docs/recipe.md and other tables in docs/, and the API reference
 * docs/api.
 *
 *   npm run docs
 *
 * Tests compare the files with what src/cli/docs.ts and scripts/api-docs.mjs make.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { generatedDocs } from '../dist/cli/docs.js';
import { writeApi } from './api-docs.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
for (const [file, text] of Object.entries(generatedDocs())) {
  mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
  writeFileSync(path.join(root, file), text);
  console.log(file);
}
await writeApi(path.join(root, 'docs', 'api'));
console.log('docs/api');
