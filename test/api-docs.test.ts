/** The API reference names what the package exports; the slow lane makes it again and compares every word. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const root = path.join(import.meta.dirname, '..');

it('docs/api has every exported name (npm run docs writes it)', () => {
  const folder = path.join(root, 'docs', 'api');
  const pages = readdirSync(folder).map((f) => readFileSync(path.join(folder, f), 'utf8'));
  const headings = new Set(
    pages
      .join('\n')
      .replaceAll('\\_', '_')
      .match(/^#+ .*$/gm)
      ?.flatMap((h) => h.match(/\w+/g) ?? []),
  );
  const source = readFileSync(path.join(root, 'src', 'index.ts'), 'utf8');
  const names = [...source.matchAll(/^export (?:type )?\{([^}]*)\} from '\./gm)].flatMap(([, list = '']) =>
    list
      .split(',')
      .map((n) =>
        n
          .trim()
          .replace(/^type /, '')
          .replace(/^.* as /, ''),
      )
      .filter((n) => n !== ''),
  );
  expect(names.length).toBeGreaterThan(100);
  expect(names.filter((n) => !headings.has(n))).toEqual([]);
});
