/**
 * Writes what is generated from code: schema/recipe.schema.json, docs/recipe.md, docs/metrics.md, docs/errors.md and docs/ops.md.
 *
 *   npm run build && node scripts/docs.mjs
 *
 * The texts are made in src/cli/docs.ts, where a test compares them with the files.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { generatedDocs } from '../dist/cli/docs.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
for (const [file, text] of Object.entries(generatedDocs())) {
  mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
  writeFileSync(path.join(root, file), text);
  console.log(file);
}
