/** A model repository: NAME/config.pbtxt in the text form of Triton's ModelConfig, and NAME/1/model.onnx. */
import { encodeModel } from '../../onnx/encode.js';
import type { Emitted, EmitInput } from '../types.js';
import { portLines, portOf, type Served } from './config.js';
import { ensembleOf } from './ensemble.js';

/** Samples in a run whose latency is measured. */
export const BATCHES = [1, 2, 4, 8, 16, 32];
/** A larger batch must give so much more throughput to be worth waiting for. */
const WORTH = 1.1;

export function emit({ onnx, latency, pixels, name }: EmitInput): Emitted {
  const inputs = onnx.graph.inputs.filter((v) => !v.data);
  const { outputs } = onnx.graph;
  // Every tensor has an open first axis: Triton may then put requests together.
  const batched = [...inputs, ...outputs].every((v) => (v.shape?.length ?? 0) > 0 && typeof v.shape?.[0] !== 'number');
  const plan = batched ? batching(latency) : undefined;
  const most = batched ? Math.max(1, plan?.preferred.at(-1) ?? BATCHES.at(-1) ?? 1) : 0;
  const own: Served = { name, most, inputs: inputs.map(portOf), outputs: outputs.map(portOf) };
  const config = [
    'backend: "onnxruntime"',
    ...portLines(own),
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
  const ensemble = pixels && own.inputs.length === 1 ? ensembleOf(own, pixels) : undefined;
  return {
    files: [
      { path: `${name}/1/model.onnx`, role: 'model', data: encodeModel(onnx) },
      { path: `${name}/config.pbtxt`, role: 'sidecar', data: config.join('\n') },
      ...(ensemble?.files ?? []),
    ],
    artefact: name,
    floats: [],
    ...(ensemble ? { note: ensemble.note } : {}),
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
