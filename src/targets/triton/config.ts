/** The part of Triton's ModelConfig that every model has: its name, batches, inputs and outputs. */
import { fail } from '../../base/errors.js';
import type { DType } from '../../ir/dtype.js';
import type { Value } from '../../ir/graph.js';

const TYPES: Partial<Record<DType, string>> = {
  float32: 'TYPE_FP32',
  float16: 'TYPE_FP16',
  float64: 'TYPE_FP64',
  uint8: 'TYPE_UINT8',
  int8: 'TYPE_INT8',
  int16: 'TYPE_INT16',
  int32: 'TYPE_INT32',
  int64: 'TYPE_INT64',
  bool: 'TYPE_BOOL',
  string: 'TYPE_STRING',
};

export interface Port {
  readonly name: string;
  readonly type: string;
  /** −1 where any size is taken. */
  readonly dims: readonly number[];
}
/** What a server offers. */
export interface Served {
  readonly name: string;
  /** Samples in a batch, of ports whose first axis counts them; 0 where none does. */
  readonly most: number;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

/** Throws EXPORT_UNSUPPORTED for a type that Triton has not. */
export const portOf = ({ name, dtype, shape = [] }: Value): Port => ({
  name,
  type: typeOf(dtype ?? 'float32', name),
  dims: shape.map((d) => (typeof d === 'number' ? d : -1)),
});
const typeOf = (dtype: DType, name: string): string =>
  TYPES[dtype] ?? fail('EXPORT_UNSUPPORTED', `Triton has no type ${dtype} for '${name}'`, { tensor: name });

/** Dims are told without the axis of batches. */
export function portLines({ name, most, inputs, outputs }: Served): string[] {
  const list = (ports: readonly Port[]): string =>
    ports
      .map(({ name: port, type, dims }) =>
        [
          '  {',
          `    name: ${JSON.stringify(port)}`,
          `    data_type: ${type}`,
          `    dims: [ ${dims.slice(most ? 1 : 0).join(', ')} ]`,
          '  }',
        ].join('\n'),
      )
      .join(',\n');
  return [
    `name: ${JSON.stringify(name)}`,
    `max_batch_size: ${most}`,
    `input [\n${list(inputs)}\n]`,
    `output [\n${list(outputs)}\n]`,
  ];
}
