/** `quantize layout`: runs as the folder that transformers.js, onnxruntime-genai or the Hugging Face hub wants. */
import path from 'node:path';
import { fail } from '../../base/errors.js';
import { writeFileAtomic } from '../../base/files.js';
import { bytesText } from '../../base/text.js';
import { LAYOUTS, layOut, type Layout } from '../../standalone/layout.js';
import { wantRun } from '../targets.js';
import type { CommandContext } from '../context.js';

export interface LayoutFlags {
  readonly as: string;
  readonly from: string;
  readonly out: string;
  readonly json?: boolean;
}

/** Throws USAGE, DATA_MISSING, DATA_FORMAT, OUTPUT_WRITE and what loading the models throws; gives exit code 0. */
export async function layout(
  runs: readonly string[],
  flags: LayoutFlags,
  { terminal }: CommandContext,
): Promise<number> {
  for (const run of runs) wantRun(run, 'layout');
  const chosen = LAYOUTS.find((l) => l === flags.as);
  if (!chosen) return fail('USAGE', `there is no layout '${flags.as}'`, {}, `--as takes ${LAYOUTS.join(', ')}`);
  const as: Layout = chosen;
  const { variants, files } = layOut(runs, { layout: as, from: flags.from, out: flags.out });
  const { renderModelCard } = await import('../../report/index.js');
  const [first] = variants;
  const list = variants.map((v) => `| ${v.dtype} | ${v.file} | ${bytesText(v.bytes)} | ${v.record.recipe.name} |`);
  const table = ['| type | file | size | recipe |', '|---|---|---|---|', ...list].join('\n');
  if (first)
    writeFileAtomic(path.join(flags.out, 'README.md'), `${renderModelCard(first.record)}\n## Files\n\n${table}\n`);
  const all = [...files, 'README.md'];
  if (flags.json) terminal.data(`${JSON.stringify({ layout: as, files: all })}\n`);
  else terminal.data(all.map((f) => `${path.join(flags.out, f)}\n`).join(''));
  return 0;
}
