import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** A fixture file: a description, then sections that start with `@@@ name`. */
export interface Fixture {
  readonly file: string;
  readonly name: string;
  readonly description: string;
  readonly sections: Map<string, string>;
}

export function readFixtures(folder: string): Fixture[] {
  const dir = path.join(import.meta.dirname, '..', 'fixtures', folder);
  return readdirSync(dir)
    .filter((f) => f.endsWith('.txt'))
    .sort()
    .map((name) => {
      const file = path.join(dir, name);
      const [description, ...parts] = readFileSync(file, 'utf8').split(/^@@@ /m);
      const sections = new Map(
        parts.map((p) => {
          const end = p.indexOf('\n');
          return [p.slice(0, end).trim(), p.slice(end + 1).trim()] as const;
        }),
      );
      return { file, name: name.replace(/\.txt$/, ''), description: (description ?? '').trim(), sections };
    });
}

/** With UPDATE=1 rewrites one section of a fixture; else returns what it holds. */
export function expected(f: Fixture, section: string, actual: string): string {
  if (process.env['UPDATE'] !== '1') return f.sections.get(section) ?? '';
  const sections = f.sections.set(section, actual);
  writeFileSync(f.file, `${f.description}\n${[...sections].map(([k, v]) => `@@@ ${k}\n${v}\n`).join('')}`);
  return actual;
}
