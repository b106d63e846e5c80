/** What calibration shows to be better left in float: what it never reached, and Concats of a head that mix scales. */
import { item } from '../base/lists.js';
import type { Diagnostic } from '../base/errors.js';
import type { TensorStats } from '../calibrate/types.js';
import { label, type Node, type Value } from '../ir/graph.js';
import { MIXED_SCALES, mixedConcats } from '../quantize/mixed-scales.js';
import type { Planned } from '../scheme/quantized.js';
import { neverComputed, unreachedWarning } from '../quantize/unreached.js';
import type { Prepared } from './prepare.js';

export interface Settled {
  readonly planned: Planned;
  readonly told: readonly Diagnostic[];
}

/** The plan as it is carried out, and what to tell of the change. Throws QUANTIZE_NOTHING where nothing is left. */
export function afterCalibration(
  { planned, format, without }: Prepared,
  stats: ReadonlyMap<Value, TensorStats>,
): Settled {
  if (format.plan !== 'static') return { planned, told: [] };
  const told: Diagnostic[] = [];
  let now = planned;
  const never = neverComputed(new Map([...stats].filter(([v]) => !planned.spare?.has(v))));
  if (never.size) {
    now = without(never);
    told.push(
      unreachedWarning(
        never,
        [...planned.integerNodes].filter((n) => !now.integerNodes.has(n)),
      ),
    );
  }
  const mixed = mixedConcats(now.heads ?? new Set(), now.plan, stats);
  if (!mixed.size) return { planned: now, told };
  const apart = without(never, new Map([...mixed].map((n) => [n, MIXED_SCALES])));
  if (!isSeen(apart, stats)) return { planned: now, told };
  return { planned: apart, told: [...told, mixedNote([...mixed])] };
}

/** Whether calibration saw all that a plan needs. */
const isSeen = ({ plan }: Planned, stats: ReadonlyMap<Value, TensorStats>): boolean =>
  [...plan].every(([p, spec]) => spec.kind !== 'observed' || !('uses' in p) || p.data !== undefined || stats.has(p));

function mixedNote(nodes: readonly Node[]): Diagnostic {
  const names = nodes.map((n) => `'${label(n)}'`).join(', ');
  return {
    severity: 'note',
    code: 'MIXED_SCALES',
    message:
      `${names} ${nodes.length === 1 ? 'stays' : 'stay'} float: ${MIXED_SCALES}, and one scale would leave ` +
      'nothing of the smaller',
    where: { node: label(item(nodes, 0)) }, // callers have one
  };
}
