/** `quantize convert`: a float model in the form that a runtime loads. */
import path from 'node:path';
import { fail } from '../../base/errors.js';
import { bytesText } from '../../base/text.js';
import { loadRecipe } from '../../recipe/load.js';
import { PRECISIONS } from '../../targets/types.js';
import type { CommandContext } from '../context.js';
import { folderName } from '../folder-name.js';
import { shapesOf } from '../shapes.js';

export interface ConvertFlags {
  readonly target: string;
  readonly precision: string;
  readonly recipe?: string;
  readonly inputShape?: readonly string[];
  readonly out?: string;
  readonly json?: true;
  readonly quiet?: true;
}

/** Throws QuantError; gives exit code 0. */
export async function convert(file: string, flags: ConvertFlags, { terminal }: CommandContext): Promise<number> {
  const precision = PRECISIONS.find((p) => p === flags.precision);
  if (!precision)
    return fail('USAGE', `--precision is "${flags.precision}"`, {}, `it is one of ${PRECISIONS.join(', ')}`);
  const base = path.basename(file).replace(/\.(onnx|ort)$/i, '');
  const outDir = flags.out ?? path.join('reports', folderName(`${base}-${flags.target}`));
  const { convertModel } = await import('../../standalone/convert.js');
  const made = await convertModel({
    file,
    target: flags.target,
    precision,
    outDir,
    shapes: (names) => shapesOf(flags.inputShape ?? [], names),
    recipe: flags.recipe === undefined ? undefined : await loadRecipe(flags.recipe, { model: file }),
    report: (d) => flags.quiet || terminal.say(`  ${d.severity}: ${d.message}`),
  });
  if (flags.json) {
    terminal.data(`${JSON.stringify(made, null, 1)}\n`);
    return 0;
  }
  if (!flags.quiet) {
    terminal.say(
      `  ${made.artefact} for ${made.target}, ${made.precision}; not verified there: quantize verify ${outDir}`,
    );
    for (const f of made.floats.slice(0, 10)) terminal.say(`  ${f.op} '${f.node}': ${f.because}`);
  }
  terminal.data(
    made.files.map((f) => `${path.join(outDir, f.path)}${flags.quiet ? '' : `  ${bytesText(f.bytes)}`}\n`).join(''),
  );
  return 0;
}
