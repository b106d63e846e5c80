import type { CompareRecord, CompareRun } from '../../../src/record/index.js';
import { failedGate, gate, makeRecord } from './record.js';

const run = (
  label: string,
  change: number,
  latencyMs: number,
  bytes: number,
  front: boolean,
  more: Partial<CompareRun> = {},
): CompareRun => ({
  label,
  outcome: 'ok',
  summary: `qdq, uint8 activations, ${label.split('-')[1] ?? 'kl'}`,
  metrics: [],
  front,
  durationMs: 9000,
  metric: {
    name: 'top1',
    unit: '%',
    higherIsBetter: true,
    float: 97.35,
    quantized: 97.35 + change,
    change,
    interval: [change - 0.3, change + 0.25],
  },
  agreement: { same: 0.99 + change / 100 },
  latencyMs,
  latencyInterval: [latencyMs * 0.97, latencyMs * 1.04],
  speedup: 0.761 / latencyMs,
  speedupInterval: [0.74 / latencyMs, 0.78 / latencyMs],
  bytes,
  sizeRatio: bytes / 1_180_000,
  peakBytes: 9e6,
  integerMacsShare: 0.98,
  gate,
  ...more,
});

/** Five runs that worked, three of them on the front, and one that failed. */
export function makeComparison(prefix = '', change: Partial<CompareRecord> = {}): CompareRecord {
  return {
    schema: 1,
    quantbench: '0.1.0',
    startedAt: '2026-01-02T03:04:05.000Z',
    durationMs: 61_000,
    name: `${prefix}observers`,
    environment: makeRecord(1).environment,
    model: { name: `${prefix}demo.onnx`, sha256: 'ab'.repeat(32), bytes: 1_180_000 },
    float: { metric: 97.35, latencyMs: 0.761, peakBytes: 14e6 },
    samples: 2000,
    chosenOn: 'the 500 search samples',
    runs: [
      run(`${prefix}int8-kl`, -0.05, 0.342, 330_000, true),
      run(`${prefix}int8-minmax`, -0.4, 0.341, 330_000, true, { gate: failedGate }),
      run(`${prefix}int8-percentile`, -0.1, 0.345, 330_000, false),
      run(`${prefix}int8-mse`, 0.02, 0.36, 330_000, true),
      run(`${prefix}int8-dynamic`, -0.02, 0.83, 335_000, false),
      {
        label: `${prefix}int4-kl`,
        outcome: 'failed',
        error: `${prefix}QUANTIZE_COLLAPSED: agrees with float on 14 %`,
        summary: '4-bit weights',
        metrics: [],
        front: false,
        durationMs: 2000,
      },
    ],
    chosen: {
      label: `${prefix}int8-kl`,
      sentence: `${prefix}int8-kl is the fastest run whose drop is certainly below 0.5 points.`,
    },
    notes: ['Latency was measured one run after the other.'],
    ...change,
  };
}
