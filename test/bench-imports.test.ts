/** Benches and scripts are not type-checked: what they import of the build must be there, under that name. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const root = path.join(import.meta.dirname, '..');
const files = ['bench', 'scripts'].flatMap((dir) =>
  readdirSync(path.join(root, dir))
    .filter((f) => f.endsWith('.mjs'))
    .map((f) => `${dir}/${f}`),
);

it.each(files)('%s imports what the build has', (file) => {
  const text = readFileSync(path.join(root, file), 'utf8');
  const wrong: string[] = [];
  for (const [, list = '', from = ''] of text.matchAll(/import \{([^}]*)\} from '\.\.\/dist\/([^']+)\.js'/g)) {
    const source = path.join(root, 'src', `${from}.ts`);
    if (!existsSync(source)) {
      wrong.push(`${from} is no file`);
      continue;
    }
    const code = readFileSync(source, 'utf8');
    for (const name of list.split(',').map((n) => n.trim().replace(/ as .*/, ''))) {
      const declared = new RegExp(`^export (?:async )?(?:function\\*?|const|class|let) ${name}\\b`, 'm');
      const handedOn = new RegExp(`^export \\{[^}]*\\b${name}\\b`, 'm');
      if (name && !declared.test(code) && !handedOn.test(code)) wrong.push(`${name} of ${from}`);
    }
  }
  expect(wrong).toEqual([]);
});
