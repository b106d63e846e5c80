/**
 * Embedding tables: constant matrices of which a Gather looks rows up. They take one scale a row and are looked up as
 * codes.
 */
import type { Node, Value } from '../ir/graph.js';
import { linearView } from '../ops/index.js';
import type { QuantScheme } from '../scheme/types.js';
import type { WeightSettings } from './overrides.js';

/** Tables with fewer elements than this are not worth the extra nodes. */
const SMALL_TABLE = 4096;

/** The table that a node looks rows up in, where it is worth storing as codes. */
export function tableOf(n: Node, isInput: (v: Value) => boolean): Value | undefined {
  const view = linearView(n);
  const table = view?.kind === 'lookup' ? n.inputs[view.weight] : undefined;
  const data = table?.isInitializer && !isInput(table) ? table.data : undefined;
  return data?.dtype === 'float32' && data.dims.length >= 2 && data.size >= SMALL_TABLE
    ? (table ?? undefined)
    : undefined;
}

/** The scheme of a table: int8 without zero points, for that is what the look-up is written for. */
export function tableScheme(settings: WeightSettings): QuantScheme {
  const { observer: _observer, observerOptions: _options, granularity, bits, ...rest } = settings;
  const used = rest.dtype === 'int8' && bits !== undefined ? { bits } : {};
  const scale: QuantScheme['granularity'] = granularity === 'tensor' ? { kind: 'tensor' } : { kind: 'axis', axis: 0 };
  return { ...rest, ...used, dtype: 'int8', symmetric: true, granularity: scale };
}
