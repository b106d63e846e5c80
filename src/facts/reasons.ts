/** Why a point got its range, in a sentence that names the observer, what it saw and what it cut. */
import type { PointFacts } from '../record/index.js';
import { pointName } from '../quantize/planners/static.js';
import type { QuantSpec } from '../scheme/types.js';

/** What the sentence is made of: of an observed point, all that is known after parameters were chosen. */
export type Seen = Pick<
  PointFacts,
  'observedMin' | 'observedMax' | 'count' | 'min' | 'max' | 'scale' | 'clipped' | 'histogram'
>;

export function reasonOf(spec: QuantSpec, role: PointFacts['role'], seen: Seen): string {
  switch (spec.kind) {
    case 'observed':
      return observedReason(spec.observer, role, seen);
    case 'fixed':
      return 'its range is known beforehand';
    case 'shared':
      return `moves the codes of '${pointName(spec.with)}'`;
    case 'derived':
      return `scale of '${pointName(spec.from[0])}' × scale of '${pointName(spec.from[1])}'`;
    case 'half':
      return 'float16, where calibration finds it in range';
    case 'coded':
      return `stored as ${spec.coding}, float32 once the model is loaded`;
    case 'float':
      return spec.because;
  }
}

/** Such as `kl cut 0.3 % of the values, those above 5.1` or `minmax kept all that it saw, -0.5 to 2.1`. */
function observedReason(observer: string, role: PointFacts['role'], s: Seen): string {
  if (!s.scale || !s.min || !s.max) return `${observer} measures its range`;
  if (s.count === 0) return 'it was never computed during calibration';
  if (s.scale.length === 0) return 'it has no elements';
  const low = role === 'weight' ? extreme(s.histogram?.low) : s.observedMin;
  const high = role === 'weight' ? extreme(s.histogram?.high) : s.observedMax;
  const parts = s.scale.length;
  if (parts > 1) {
    if (s.clipped !== undefined && s.clipped > 0)
      return `${observer} cut ${percent(s.clipped)} of the values, range by range in ${parts} of them`;
    return s.clipped === 0 ? `${observer} kept all values, with ${parts} ranges` : `${observer} chose ${parts} ranges`;
  }
  const [a, b, step] = [low?.[0], high?.[0], s.scale[0]!]; // one scale
  // one range
  if (a === undefined || b === undefined) return `${observer} chose ${number(s.min[0]!)} to ${number(s.max[0]!)}`;
  const above = b > s.max[0]! + step / 2;
  const below = a < s.min[0]! - step / 2;
  if (!above && !below) return `${observer} kept all that it saw, ${number(a)} to ${number(b)}`;
  const share =
    s.clipped === undefined
      ? ''
      : s.clipped === 0
        ? 'hardly any of the values, '
        : `${percent(s.clipped)} of the values, `;
  const ends = [
    ...(below ? [`below ${number(s.min[0]!)}`] : []),
    ...(above ? [`above ${number(s.max[0]!)}`] : []),
  ].join(' and ');
  return `${observer} cut ${share}those ${ends} (it saw ${number(a)} to ${number(b)})`;
}

const extreme = (x: number | undefined): readonly number[] | undefined => (x === undefined ? undefined : [x]);
const number = (x: number): string => String(Number(x.toPrecision(3)));
function percent(share: number): string {
  const p = 100 * share;
  return p < 0.001 ? 'less than 0.001 %' : `${Number(p.toPrecision(p < 1 ? 1 : 2))} %`;
}
