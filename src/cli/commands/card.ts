/** `quantize card`: the model card of a run, for the hub that the model goes to. */
import { writeFileAtomic } from '../../base/files.js';
import { readRun } from '../../record/read.js';
import type { CommandContext } from '../main.js';

/** Throws DATA_MISSING, DATA_FORMAT, OUTPUT_WRITE; gives exit code 0. */
export async function card(target: string, flags: { readonly out?: string }, { terminal }: CommandContext): Promise<number> {
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
