/** Results whose range is known before anything is seen. */
import type { Node } from '../ir/graph.js';
import type { QuantRole } from '../ops/spec.js';
import { fixedCodes } from '../scheme/params.js';
import type { TargetProfile } from '../scheme/profile.js';
import type { QuantScheme } from '../scheme/types.js';
import { portsOf } from './validate.js';

/** Scale and zero point of a result that are known beforehand: those that the kernel gives, else by its range. */
export function fixedOf(
  n: Node,
  role: QuantRole,
  scheme: QuantScheme,
  target: TargetProfile,
): { readonly scale: number; readonly zeroPoint: number } | undefined {
  const own = target.fixedOutputs?.[n.op]?.find((f) => f.dtype === scheme.dtype);
  if (own) return { scale: own.scale, zeroPoint: own.zeroPoint };
  return role.role === 'arithmetic' && role.range && isPlainByte(scheme, n, target)
    ? fixedCodes(role.range, scheme)
    : undefined;
}

/** Whether codes may be laid over a range that is known, from the lowest code to the highest. */
const isPlainByte = (scheme: QuantScheme, n: Node, target: TargetProfile): boolean =>
  /^u?int8$/.test(scheme.dtype) && !scheme.narrow && portsOf(target, n).activation.symmetric !== true;
