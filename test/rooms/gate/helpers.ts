/** Small records for gates. */
import type { EvaluationFacts, LatencyFacts, MetricFacts, RunRecord } from '../../../src/record/index.js';

export type Paired = NonNullable<MetricFacts['paired']>;

/** What a test says of a run; the rest is a plain run of a float and a quantized model. */
export interface RunParts {
  readonly name?: string;
  readonly metric?: Partial<MetricFacts>;
  readonly paired?: Paired;
  readonly evaluation?: Partial<EvaluationFacts>;
  readonly latency?: LatencyFacts;
  readonly more?: Partial<RunRecord>;
}

const model = {
  name: 'm',
  sha256: '0'.repeat(64),
  bytes: 1000,
  parameters: 10,
  nodes: 3,
  opset: 17,
  irVersion: 8,
  inputs: [],
  outputs: [],
};

export function runWith({ name = 'r', metric, paired, evaluation, latency, more }: RunParts = {}): RunRecord {
  const metrics: MetricFacts[] =
    metric || paired
      ? [
          {
            name: 'top1',
            unit: '%',
            higherIsBetter: true,
            float: 90,
            quantized: 90,
            ...(paired ? { paired } : {}),
            ...metric,
          },
        ]
      : [];
  return {
    schema: 1,
    quantbench: '0.1.0',
    startedAt: '2026-01-02T03:04:05.000Z',
    durationMs: 1,
    outcome: 'ok',
    recipe: { name, resolved: {}, yaml: '' },
    environment: {
      node: 'v20',
      onnxruntime: '1.30',
      platform: 'linux',
      arch: 'x64',
      cpu: 'a CPU',
      cores: 2,
      memoryBytes: 1e9,
      cpuFeatures: [],
    },
    seeds: {},
    model: { float: model, quantized: { ...model, bytes: 280 } },
    stages: [],
    passes: [],
    points: [],
    nodes: [],
    diagnostics: [],
    files: [],
    evaluation: { samples: 100, sampleSet: 'a', metrics, outputs: [], data: {}, ...evaluation },
    ...(latency ? { latency } : {}),
    ...more,
  };
}

/** `worse` samples turn wrong, `better` turn right, `same` stay right, `wrong` stay wrong. */
export const flips = (worse: number, better: number, same: number, wrong = 0): Paired => ({
  kind: 'share',
  float: '1'.repeat(worse) + '0'.repeat(better) + '1'.repeat(same) + '0'.repeat(wrong),
  quantized: '0'.repeat(worse) + '1'.repeat(better) + '1'.repeat(same) + '0'.repeat(wrong),
});

const times = (p50: number, spread = 0.02): LatencyFacts['floatMs'] => ({
  p50,
  p90: p50 * 1.2,
  p99: p50 * 1.5,
  mean: p50,
  p50Interval: [p50 * (1 - spread), p50 * (1 + spread)],
  p90Interval: [p50 * 1.2 * (1 - 2 * spread), p50 * 1.2 * (1 + 2 * spread)],
});
/** 10 ms float, 10 ÷ `speedup` ms quantized. */
export const latencyOf = (speedup: number, more: Partial<LatencyFacts> = {}): LatencyFacts => ({
  threads: 1,
  runs: 100,
  warmup: 10,
  batch: 1,
  inputShapes: { x: [1, 3, 4, 4] },
  floatMs: times(10),
  quantizedMs: times(10 / speedup),
  speedup,
  speedupInterval: [speedup * 0.95, speedup * 1.05],
  ...more,
});
