/** The calibration cache of TensorRT up to 10, for engines that are built from the float model. */
import { label } from '../../ir/graph.js';
import { item } from '../../base/lists.js';
import type { QuantizedGraph } from '../../scheme/quantized.js';
import type { Emitter } from '../types.js';

/**
 * Line 1 names the calibrator; then a tensor a line: its name, and its scale (absolute maximum ÷ 127) as the bytes of a
 * big-endian float32 in hexadecimal.
 */
export function calibrationCache({ params }: Pick<QuantizedGraph, 'params'>): string {
  const lines = [...params].flatMap(([point, p]) => {
    if (!('uses' in point) || point.data || p.scheme.granularity.kind !== 'tensor') return [];
    const bytes = Buffer.alloc(4);
    bytes.writeFloatBE(item(p.scale, 0)); // one for a tensor
    return [`${point.name.replace(/[\r\n]/g, '_')}: ${bytes.toString('hex')}`];
  });
  return `${['TRT-100000-EntropyCalibration2', ...new Set(lines)].join('\n')}\n`;
}

export const emitter: Emitter = {
  precisions: ['float32', 'float16'],
  refuses: ({ model }) =>
    model.graph
      .topological()
      .filter((n) => n.domain !== '')
      .map((n) => ({ node: label(n), op: n.op, because: `the parser has no operators of ${n.domain}` })),
  emit: ({ graph }) => ({
    files: graph.params.size ? [{ path: 'calibration.cache', role: 'sidecar', data: calibrationCache(graph) }] : [],
    floats: [],
  }),
};
