import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { expect, it } from 'vitest';
import { generatedDocs } from '../../../src/cli/docs.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

it.each(Object.entries(generatedDocs()))(
  '%s is what the code says (else: npm run build && node scripts/docs.mjs)',
  (file, text) => {
    expect(readFileSync(path.join(root, file), 'utf8')).toBe(text);
  },
);
