/** A runtime by the name that the command line gives. */
import { fail, nearest } from '../base/errors.js';
import type { Target } from '../targets/types.js';

/** Throws USAGE with the name that was meant, for aliases too. */
export function findTarget(name: string, targets: readonly Target[]): Target {
  const found = targets.find((t) => t.name === name);
  if (found) return found;
  const names = targets.map((t) => t.name);
  const near = targets.find((t) => t.aliases?.includes(name))?.name ?? nearest(name, names);
  const hint = `${near ? `did you mean "${near}"? ` : ''}targets: ${names.join(', ')}`;
  return fail('USAGE', `"${name}" is not a target`, {}, hint);
}
