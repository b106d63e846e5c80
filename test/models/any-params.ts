/** Parameters for every point of a plan, of one range, without calibration. */
import type { Planned } from '../../src/scheme/quantized.js';
import { chooseParams } from '../../src/scheme/params.js';
import type { QuantParams, QuantPoint } from '../../src/scheme/types.js';

export function anyParams({ plan }: Planned): Map<QuantPoint, QuantParams> {
  const params = new Map<QuantPoint, QuantParams>();
  const of = (point: QuantPoint): QuantParams | undefined => {
    const spec = plan.get(point);
    const known = params.get(point);
    if (known || !spec || spec.kind === 'float') return known;
    let found: QuantParams | undefined;
    if (spec.kind === 'observed') {
      const value = 'uses' in point ? point : point.node.inputs[point.index];
      const { granularity } = spec.scheme;
      // per-axis schemes are for weights
      const channels = granularity.kind === 'axis' ? value!.data!.dims[granularity.axis]! : 1;
      found = chooseParams(
        { min: new Float64Array(channels).fill(-4), max: new Float64Array(channels).fill(4) },
        spec.scheme,
      );
    } else if (spec.kind === 'fixed')
      found = { scheme: spec.scheme, scale: Float32Array.of(spec.scale), zeroPoint: Int32Array.of(spec.zeroPoint) };
    else if (spec.kind === 'shared') found = of(spec.with);
    else if (spec.kind === 'derived') {
      const [a, w] = [of(spec.from[0])!, of(spec.from[1])!]; // biases come from planned points
      const scale = w.scale.map((s) => s * a.scale[0]!);
      found = {
        scheme: {
          dtype: 'int32',
          symmetric: true,
          granularity: scale.length > 1 ? { kind: 'axis', axis: 0 } : { kind: 'tensor' },
        },
        scale,
        zeroPoint: new Int32Array(scale.length),
      };
    }
    if (found) params.set(point, found);
    return found;
  };
  for (const point of plan.keys()) of(point);
  return params;
}
