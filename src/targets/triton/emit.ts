/** A model repository: NAME/config.pbtxt in the text form of Triton's ModelConfig, and NAME/1/model.onnx. */
import { fail } from '../../base/errors.js';
import type { DType } from '../../ir/dtype.js';
import type { Value } from '../../ir/graph.js';
import { encodeModel } from '../../onnx/encode.js';
import type { Emitted, EmitInput } from '../types.js';

/** Samples in a run whose latency is measured. */
export const BATCHES = [1, 2, 4, 8, 16, 32];
/** A larger batch must give so much more throughput to be worth waiting for. */
const WORTH = 1.1;

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

export function emit({ onnx, latency, name }: EmitInput): Emitted {
  const inputs = onnx.graph.inputs.filter((v) => !v.data);
  const ports = [...inputs, ...onnx.graph.outputs];
  // Every tensor has an open first axis: Triton may then put requests together.
  const batched = ports.every((v) => (v.shape?.length ?? 0) > 0 && typeof v.shape?.[0] !== 'number');
  const plan = batched ? batching(latency) : undefined;
  const most = batched ? Math.max(1, plan?.preferred.at(-1) ?? BATCHES.at(-1) ?? 1) : 0;
  const port = (v: Value): string[] => [
    '  {',
    `    name: ${JSON.stringify(v.name)}`,
    `    data_type: ${TYPES[v.dtype ?? 'float32'] ?? unknown(v)}`,
    `    dims: [ ${dimsOf(v, batched).join(', ')} ]`,
    '  }',
  ];
  const list = (values: readonly Value[]): string => values.map((v) => port(v).join('\n')).join(',\n');
  const config = [
    `name: ${JSON.stringify(name)}`,
    'backend: "onnxruntime"',
    `max_batch_size: ${most}`,
    `input [\n${list(inputs)}\n]`,
    `output [\n${list(onnx.graph.outputs)}\n]`,
    'version_policy: { latest { num_versions: 1 } }',
    // Where batches gain nothing, two instances answer two requests at once.
    `instance_group [ { count: ${plan?.preferred.length ? 1 : 2}, kind: KIND_CPU } ]`,
    ...(plan?.preferred.length
      ? [
          `dynamic_batching { preferred_batch_size: [ ${plan.preferred.join(', ')} ], max_queue_delay_microseconds: ${plan.delay} }`,
        ]
      : []),
    '',
  ];
  return {
    files: [
      { path: `${name}/1/model.onnx`, role: 'model', data: encodeModel(onnx) },
      { path: `${name}/config.pbtxt`, role: 'sidecar', data: config.join('\n') },
    ],
    artefact: name,
    floats: [],
  };
}

/**
 * Batches that give at least a tenth more samples a second than the best smaller one, and how long to wait for them: as
 * long as one sample takes, so that waiting at most doubles its latency.
 */
export function batching(latency: ReadonlyMap<number, number>): {
  readonly preferred: number[];
  readonly delay: number;
} {
  const one = latency.get(1) ?? 0;
  const preferred: number[] = [];
  let best = one > 0 ? 1 / one : Infinity;
  for (const [batch, ms] of [...latency].sort(([a], [b]) => a - b)) {
    if (batch === 1 || batch / ms < WORTH * best) continue;
    preferred.push(batch);
    best = batch / ms;
  }
  return { preferred, delay: Math.ceil(1000 * one) };
}

const dimsOf = ({ shape = [] }: Value, batched: boolean): number[] =>
  shape.slice(batched ? 1 : 0).map((d) => (typeof d === 'number' ? d : -1));
const unknown = ({ name, dtype }: Value): never =>
  fail('EXPORT_UNSUPPORTED', `Triton has no type ${dtype} for '${name}'`, { tensor: name });
