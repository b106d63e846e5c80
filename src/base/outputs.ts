/** Outputs must not be inputs: whoever writes asks here before any work. */
import fs from 'node:fs';
import path from 'node:path';
import { fail } from './errors.js';

/**
 * Throws OUTPUT_WRITE where an output path is one of the inputs, also through links, hard links and other spellings of
 * the path. Paths that do not exist, and undefined ones, are no one's file.
 */
export function refuseOverwriting(outputs: readonly string[], inputs: Iterable<string | undefined>): void {
  const known = new Map<string, string>();
  for (const input of inputs) if (input !== undefined) for (const id of identities(input)) known.set(id, input);
  for (const output of outputs) {
    const input = identities(output)
      .map((id) => known.get(id))
      .find((found) => found !== undefined);
    if (input === undefined) continue;
    const same = path.resolve(input) === path.resolve(output) ? '' : `, which is the input '${input}'`;
    fail(
      'OUTPUT_WRITE',
      `the output '${output}' would overwrite ${same ? `a file of the job${same}` : 'an input of the job'}`,
      { file: output },
      'give another place with --out',
    );
  }
}

/** What two paths of one file have in common: device and file number, or the whole path where these are not told. */
function identities(file: string): string[] {
  try {
    const { dev, ino } = fs.statSync(file, { bigint: true });
    return [ino === 0n ? fs.realpathSync(file) : `${dev} ${ino}`];
  } catch {
    return [];
  }
}
