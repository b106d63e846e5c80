import { z } from 'zod';
import { fail } from '../../src/base/errors.js';
import type { Exporter } from '../../src/exporters/types.js';

/** A cache of calibration: `name: scale`, the scale as the eight hexadecimal digits of a float32, highest first. */
export const calibrationCache = {
  name: 'calibration-cache',
  doc: 'Scales of activations as a calibration cache, for runtimes that choose their own weights.',
  options: z.strictObject({ header: z.string().default('TRT-8601-EntropyCalibration2').describe('The first line.') }),
  export({ params }, { header }) {
    const lines = [header];
    for (const [point, { scheme, scale }] of params) {
      if ('node' in point || point.data) continue;
      if (!scheme.symmetric || scheme.granularity.kind !== 'tensor') {
        const hint = 'set activations: { dtype: int8, symmetric: true }';
        fail('EXPORT_UNSUPPORTED', `'${point.name}' has no symmetric scale`, { tensor: point.name }, hint);
      }
      const bits = Buffer.alloc(4);
      bits.writeFloatBE(scale[0]!); // one for each tensor, as checked
      lines.push(`${point.name}: ${bits.toString('hex')}`);
    }
    return [{ path: 'calibration.cache', role: 'sidecar', data: `${lines.join('\n')}\n` }];
  },
} as const satisfies Exporter<{ header: string }>;
