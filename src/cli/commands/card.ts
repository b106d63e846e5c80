/** `quantize card`: the model card of a run, for the hub that the model goes to. */
import path from 'node:path';
import { writeFileAtomic } from '../../base/files.js';
import { refuseOverwriting } from '../../base/outputs.js';
import { readRun } from '../../record/read.js';
import { wantRun } from '../targets.js';
import type { CommandContext } from '../context.js';

/** Throws DATA_MISSING, DATA_FORMAT, OUTPUT_WRITE; gives exit code 0. */
export async function card(
  target: string,
  flags: { readonly out?: string },
  { terminal }: CommandContext,
): Promise<number> {
  wantRun(target, 'card');
  if (flags.out !== undefined) refuseOverwriting([flags.out], [target, path.join(target, 'run.json')]);
  const record = readRun(target);
  const { renderModelCard } = await import('../../report/index.js');
  const text = renderModelCard(record);
  if (flags.out === undefined) terminal.data(text);
  else {
    writeFileAtomic(flags.out, text);
    terminal.data(`${flags.out}\n`);
  }
  return 0;
}
