/** `quantize layout`: runs as the folder that transformers.js, onnxruntime-genai or the Hugging Face hub wants. */
import path from 'node:path';
import { fail } from '../../base/errors.js';
import { LAYOUTS } from '../../layouts/names.js';
import { layOutRuns } from '../../pipeline/layouts.js';
import { readRun } from '../../record/read.js';
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
  folders: readonly string[],
  flags: LayoutFlags,
  { terminal }: CommandContext,
): Promise<number> {
  for (const folder of folders) wantRun(folder, 'layout');
  const chosen = LAYOUTS.find((l) => l === flags.as);
  if (!chosen) return fail('USAGE', `there is no layout '${flags.as}'`, {}, `--as takes ${LAYOUTS.join(', ')}`);
  const { renderModelCard } = await import('../../report/index.js');
  const runs = folders.map((folder) => ({ folder, record: readRun(folder) }));
  const records = runs.map((r) => r.record);
  const { files } = layOutRuns(runs, {
    layout: chosen,
    from: flags.from,
    out: flags.out,
    readme: (facts) => (records[0] ? renderModelCard(records[0], { facts, records }) : ''),
  });
  if (flags.json) terminal.data(`${JSON.stringify({ layout: chosen, files })}\n`);
  else terminal.data(files.map((f) => `${path.join(flags.out, f)}\n`).join(''));
  return 0;
}
