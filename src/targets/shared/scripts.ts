/** Files in other languages that go into artefacts as they are. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ExportedFile } from '../../exporters/types.js';

/** A file of the folder `from` of the targets, under its own name. */
export const script = (from: string, name: string): ExportedFile => ({
  path: name,
  role: 'sidecar',
  data: readFileSync(fileURLToPath(new URL(`../${from}/${name}`, import.meta.url)), 'utf8'),
});
