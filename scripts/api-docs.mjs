/**
 * Writes the API reference, docs/api/README.md or into a folder that is given, from the types that src/index.ts
 * exports.
 *
 *   node scripts/api-docs.mjs [FOLDER]
 *
 * Settings are in typedoc.json. The text depends on nothing but the sources; a test compares it with the file.
 */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Application, TypeDocReader } from 'typedoc';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Gives the number of warnings: types that are used but not exported, and links that lead nowhere. */
export async function writeApi(out) {
  const app = await Application.bootstrapWithPlugins(
    { options: path.join(root, 'typedoc.json'), logLevel: 'Warn', out },
    [new TypeDocReader()],
  );
  const project = await app.convert();
  if (!project || app.logger.hasErrors()) throw new Error('the types do not compile');
  app.validate(project);
  await app.generateOutputs(project);
  return app.logger.warningCount;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const out = path.resolve(process.argv[2] ?? path.join(root, 'docs', 'api'));
  process.exitCode = (await writeApi(out)) ? 1 : 0; // warnings are mistakes here
}
