import { createRng } from '../../../src/base/rng.js';
import type { ModelFacts, NodeFacts, PointFacts, RunRecord } from '../../../src/record/index.js';

const model = (name: string, bytes: number): ModelFacts => ({
  name, sha256: 'ab'.repeat(32), bytes, parameters: 310_000, nodes: 120, opset: 17, irVersion: 8, macs: 12_500_000,
  inputs: [{ name: 'image', dtype: 'float32', shape: ['N', 3, 32, 32] }], outputs: [{ name: 'logits', dtype: 'float32', shape: ['N', 10] }],
});

/** A whole record of a model with `n` convolutions, the same on every call. Names are prefixed with `prefix`. */
export function makeRecord(n = 12, prefix = '', change: Partial<RunRecord> = {}): RunRecord {
  const rng = createRng(3, 'record');
  const nodes: NodeFacts[] = Array.from({ length: n }, (_, i) => ({
    name: `${prefix}/block${i >> 1}/conv${i % 2}/Conv`, op: 'Conv', macs: Math.round(1e5 + rng.next() * 2e6), planned: i === n - 1 ? 'float' : 'integer',
    ...(i === n - 1 ? { because: 'excluded by the recipe', kernel: 'com.microsoft.FusedConv', ranInteger: false } : { kernel: 'com.microsoft.QLinearConv', ranInteger: true }),
  }));
  const points: PointFacts[] = nodes.flatMap((node, i): PointFacts[] => {
    const low = i % 3 ? 0 : -2 - rng.next();
    const high = 4 + rng.next() * 4;
    const max = high * 0.8;
    const counts = Array.from({ length: 128 }, (_, b) => Math.round(1e5 * Math.exp(-(((b / 127) * (high - low) + low) ** 2) / 2)));
    return [
      { name: `${node.name}_output_0`, role: 'activation', kind: 'observed', because: `input of ${node.name}`, dtype: 'uint8', symmetric: false, granularity: 'tensor', observer: 'kl', observedMin: [low], observedMax: [high], min: [low], max: [max], scale: [(max - low) / 255], zeroPoint: [Math.round((-low * 255) / (max - low))], histogram: { low, high, counts }, clipped: 0.0004 * i, count: 8_388_608 },
      { name: `${prefix}block${i}.weight`, role: 'weight', kind: 'observed', because: `weight of ${node.name}`, dtype: 'int8', symmetric: true, granularity: 'channel', observer: 'minmax', min: Array.from({ length: 64 }, () => -rng.next()), max: Array.from({ length: 64 }, () => rng.next()), scale: Array.from({ length: 64 }, () => rng.next() / 127), zeroPoint: new Array<number>(64).fill(0) },
      { name: `${prefix}block${i}.bias`, role: 'bias', kind: 'derived', because: 'scale of the activation times that of the weight', dtype: 'int32', symmetric: true, granularity: 'channel', scale: Array.from({ length: 64 }, () => rng.next() / 1e4), zeroPoint: new Array<number>(64).fill(0) },
    ];
  });
  return {
    schema: 1, quantbench: '0.1.0', startedAt: '2026-01-02T03:04:05.000Z', durationMs: 9412, outcome: 'ok',
    recipe: { name: 'int8-kl', file: 'recipes/int8-kl.yaml', resolved: {}, yaml: 'version: 1\nmodel: demo.onnx\ncalibration:\n  samples: 512\nquantize:\n  format: qdq\n  activations: { dtype: uint8, observer: kl }\n' },
    environment: { node: '20.20.2', onnxruntime: '1.30.0', platform: 'linux', arch: 'x64', cpu: 'Example Xeon 2.1 GHz', cores: 2, memoryBytes: 8e9, cpuFeatures: ['avx2', 'avx512f', 'avx512_vnni'] },
    seeds: { calibration: 7, rounding: 0 },
    model: { float: model('demo.onnx', 1_180_000), quantized: model('model.onnx', 330_000) },
    stages: [{ name: 'optimise', ms: 200, summary: '' }, { name: 'calibrate', ms: 3200, summary: '' }],
    passes: [{ pass: 'fold-batch-norm', changes: 19, nodesBefore: 120, nodesAfter: 82 }, { pass: 'fold-shapes', changes: 6, nodesBefore: 82, nodesAfter: 54 }, { pass: 'eliminate-dead', changes: 0, nodesBefore: 54, nodesAfter: 54 }],
    calibration: { samples: 512, batches: 64, tensors: 2 * n, observer: 'kl', cache: 'miss', data: { images: 'glyphs/train' }, sampling: '512 of 4096, shuffled, seed 7', nonFinite: [], skippedSamples: 1, overlapWithEvaluation: [] },
    points, nodes,
    runtime: { integerMacsShare: 0.973, ops: { 'com.microsoft.QLinearConv': n - 1, 'com.microsoft.FusedConv': 1, QuantizeLinear: 1, DequantizeLinear: 2, Softmax: 1 }, unfused: [], floatCompute: [`${prefix}/head/Conv`] },
    evaluation: {
      samples: 2000, metrics: [{ name: 'top1', unit: '%', float: 97.35, quantized: 97.3, change: -0.05, interval: [-0.41, 0.31], higherIsBetter: true }],
      agreement: { same: 0.994, rightToWrong: 7, wrongToRight: 6, mcnemarP: 1 },
      outputs: [{ name: `${prefix}logits`, cosine: 0.99921, sqnrDb: 28.31, mse: 0.00123, maxAbsError: 0.81 }], data: { images: 'glyphs/test' },
    },
    latency: { threads: 1, runs: 300, warmup: 10, batch: 1, inputShapes: { [`${prefix}image`]: [1, 3, 32, 32] }, floatMs: { p50: 0.761, p90: 0.82, p99: 0.97, mean: 0.78 }, quantizedMs: { p50: 0.342, p90: 0.36, p99: 0.44, mean: 0.35 }, speedup: 2.21, speedupInterval: [2.18, 2.25] },
    diagnostics: [{ severity: 'warning', code: 'DATA_IMAGE', message: 'left out: the JPEG ends early', where: { sample: 'img/0413.jpg' }, hint: 'onBadSample: fail stops instead' }],
    files: [{ path: 'model.onnx', bytes: 330_000, sha256: 'cd'.repeat(32) }],
    ...change,
  };
}
