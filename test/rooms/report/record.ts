import { createRng, type Rng } from '../../../src/base/rng.js';
import type {
  ClassFacts,
  EvaluationFacts,
  GateFacts,
  GraphFacts,
  LatencyFacts,
  LayerErrors,
  ModelFacts,
  NodeFacts,
  PointFacts,
  RunRecord,
  RuntimeFacts,
  RunTimes,
  Sensitivity,
} from '../../../src/record/index.js';

const model = (name: string, bytes: number): ModelFacts => ({
  name,
  sha256: 'ab'.repeat(32),
  bytes,
  parameters: 310_000,
  nodes: 120,
  opset: 17,
  irVersion: 8,
  macs: 12_500_000,
  inputs: [{ name: 'image', dtype: 'float32', shape: ['N', 3, 32, 32] }],
  outputs: [{ name: 'logits', dtype: 'float32', shape: ['N', 10] }],
});
/** A grey 2 × 2 PNG. */
export const PIXELS =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR42mNoYGgAAAEEAIH4xRMOAAAAAElFTkSuQmCC';

export interface Shape {
  readonly channels?: number;
}

/** A whole record of a model with `n` convolutions, the same on every call. Names are prefixed with `prefix`. */
export function makeRecord(
  n = 12,
  prefix = '',
  change: Partial<RunRecord> = {},
  { channels = 64 }: Shape = {},
): RunRecord {
  const rng = createRng(3, 'record');
  const names = Array.from({ length: n }, (_, i) => `${prefix}/block${i >> 1}/conv${i % 2}/Conv`);
  const nodes = names.map((name, i): NodeFacts => ({
    name,
    op: 'Conv',
    macs: Math.round(1e5 + rng.next() * 2e6),
    planned: i === n - 1 ? 'float' : 'integer',
    ...(i === n - 1
      ? { because: 'excluded by the recipe', kernel: 'com.microsoft.FusedConv', ranInteger: false }
      : { kernel: 'com.microsoft.QLinearConv', ranInteger: true }),
    makes: [`${name}_output_0`],
    reads: [...(i ? [`${names[i - 1]}_output_0`] : []), `${prefix}block${i}.weight`, `${prefix}block${i}.bias`],
  }));
  return {
    schema: 1,
    quantbench: '0.1.0',
    startedAt: '2026-01-02T03:04:05.000Z',
    durationMs: 9412,
    outcome: 'ok',
    recipe: {
      name: 'int8-kl',
      file: 'recipes/int8-kl.yaml',
      resolved: {},
      yaml:
        'version: 1\nmodel: demo.onnx\ncalibration:\n  samples: 512\nquantize:\n  format: qdq\n' +
        '  activations: { dtype: uint8, observer: kl }\n',
    },
    environment: {
      node: '20.20.2',
      onnxruntime: '1.30.0',
      platform: 'linux',
      arch: 'x64',
      cpu: 'Example Xeon 2.1 GHz',
      cores: 2,
      memoryBytes: 8e9,
      cpuFeatures: ['avx2', 'avx512f', 'avx512_vnni'],
    },
    seeds: { calibration: 7, rounding: 0 },
    model: { float: model('demo.onnx', 1_180_000), quantized: model('model.onnx', 330_000) },
    stages: [
      { name: 'optimise', ms: 200, summary: '' },
      { name: 'calibrate', ms: 3200, summary: '' },
    ],
    passes: [
      { pass: 'fold-batch-norm', changes: 19, nodesBefore: 120, nodesAfter: 82 },
      { pass: 'fold-shapes', changes: 6, nodesBefore: 82, nodesAfter: 54 },
      { pass: 'eliminate-dead', changes: 0, nodesBefore: 54, nodesAfter: 54 },
    ],
    calibration: {
      samples: 512,
      batches: 64,
      tensors: 2 * n,
      observer: 'kl',
      cache: 'miss',
      data: { images: 'glyphs/train' },
      sampling: '512 of 4096, shuffled, seed 7',
      nonFinite: [],
      skippedSamples: 1,
      overlapWithEvaluation: [],
    },
    points: nodes.flatMap((node, i) => points(node.name, prefix, i, rng, channels)),
    nodes,
    graph: graph(nodes),
    layers: layers(nodes),
    sensitivity: sensitivity(nodes),
    runtime: runtime(nodes, prefix),
    evaluation: evaluation(prefix),
    latency: latency(prefix),
    gate,
    diagnostics: [
      {
        severity: 'warning',
        code: 'DATA_IMAGE',
        message: 'left out: the JPEG ends early',
        where: { sample: 'img/0413.jpg' },
        hint: 'onBadSample: fail stops instead',
      },
    ],
    files: [{ path: 'model.onnx', bytes: 330_000, sha256: 'cd'.repeat(32) }],
    ...change,
  };
}

function points(node: string, prefix: string, i: number, rng: Rng, channels: number): PointFacts[] {
  const low = i % 3 ? 0 : -2 - rng.next();
  const high = 4 + rng.next() * 4;
  const max = high * 0.8;
  const bell = (from: number, to: number): number[] =>
    Array.from({ length: 128 }, (_, b) => Math.round(1e5 * Math.exp(-(((b / 127) * (to - from) + from) ** 2) / 2)));
  const widths = Array.from({ length: channels }, () => 0.05 + rng.next());
  const widest = Math.max(...widths);
  return [
    {
      name: `${node}_output_0`,
      role: 'activation',
      kind: 'observed',
      because: `input of ${node}`,
      dtype: 'uint8',
      symmetric: false,
      granularity: 'tensor',
      observer: 'kl',
      observedMin: [low],
      observedMax: [high],
      min: [low],
      max: [max],
      scale: [(max - low) / 255],
      zeroPoint: [Math.round((-low * 255) / (max - low))],
      histogram: { low, high, counts: bell(low, high) },
      clipped: 0.0004 * i,
      count: 8_388_608,
    },
    {
      name: `${prefix}block${i}.weight`,
      role: 'weight',
      kind: 'observed',
      because: `weight of ${node}`,
      dtype: 'int8',
      symmetric: true,
      granularity: 'channel',
      observer: 'minmax',
      min: widths.map((w) => -w),
      max: widths,
      scale: widths.map((w) => w / 127),
      zeroPoint: new Array<number>(channels).fill(0),
      histogram: { low: -widest, high: widest, counts: bell(-3, 3) },
      clipped: 0,
    },
    {
      name: `${prefix}block${i}.bias`,
      role: 'bias',
      kind: 'derived',
      because: 'scale of the activation times that of the weight',
      dtype: 'int32',
      symmetric: true,
      granularity: 'channel',
      scale: widths.map((w) => w / 1e4),
      zeroPoint: new Array<number>(channels).fill(0),
    },
  ];
}

/** Blocks of two convolutions with a Relu between and an Add around, then a Reshape. */
function graph(nodes: readonly NodeFacts[]): GraphFacts {
  const all: { name: string; op: string; region: 'integer' | 'float' | 'moves' }[] = [];
  const edges: [number, number][] = [];
  let last = -1;
  const add = (name: string, op: string, region: 'integer' | 'float' | 'moves', ...from: number[]): number => {
    all.push({ name, op, region });
    for (const f of from) if (f >= 0) edges.push([f, all.length - 1]);
    return all.length - 1;
  };
  for (let i = 0; i < nodes.length; i += 2) {
    const start = last;
    const [a, b] = [nodes[i]!, nodes[i + 1]];
    last = add(a.name, 'Conv', a.planned, start);
    last = add(`${a.name}/Relu`, 'Relu', 'integer', last);
    if (b) last = add(b.name, 'Conv', b.planned, last);
    last = add(`${a.name}/Add`, 'Add', 'integer', last, start);
  }
  add('Reshape', 'Reshape', 'moves', last);
  return { nodes: all, edges };
}

const layers = (nodes: readonly NodeFacts[]): LayerErrors => ({
  samples: 64,
  tensors: nodes.map((n, i) => ({
    name: `${n.name}_output_0`,
    node: n.name,
    op: n.op,
    sqnrDb: 38 - (i % 17),
    cosine: 0.999,
    saturated: 0.0005 * (i % 5),
    channels: 64,
    deadChannels: i === 2 ? 3 : 0,
  })),
});
function sensitivity(nodes: readonly NodeFacts[]): Sensitivity {
  const raw = nodes
    .map((n, i) => ({ node: n.name, op: n.op, macs: n.macs, score: 0.02 / (1 + ((i * 7) % nodes.length)) }))
    .sort((a, b) => b.score - a.score);
  const sum = raw.reduce((s, x) => s + x.score, 0);
  return { samples: 64, measure: 'kl', ms: 5200, layers: raw.map((x) => ({ ...x, share: x.score / sum })) };
}
const runtime = (nodes: readonly NodeFacts[], prefix: string): RuntimeFacts => ({
  integerMacsShare: 0.973,
  ops: {
    'com.microsoft.QLinearConv': nodes.length - 1,
    'com.microsoft.FusedConv': 1,
    QuantizeLinear: 1,
    DequantizeLinear: 2,
    Softmax: 1,
  },
  unfused: [],
  floatCompute: [`${prefix}/head/Conv`],
  profile: {
    runs: 50,
    floatUs: 720,
    quantizedUs: 310,
    layers: nodes.map((n, i) => ({
      node: n.name,
      op: n.op,
      floatUs: 20 + ((i * 13) % 40),
      quantizedUs: i === 4 ? 80 : 8 + ((i * 5) % 20),
    })),
    rest: {
      float: [{ node: 'reorder', op: 'ReorderInput', us: 11 }],
      quantized: [
        { node: 'q', op: 'QuantizeLinear', us: 5 },
        { node: 'd', op: 'DequantizeLinear', us: 3 },
      ],
    },
  },
  optimizations: { samples: 64, cosine: 0.999998, maxAbsError: 0.012, sameTop: 1 },
  saturation: {
    risk: 'elsewhere',
    promised: false,
    products: 12,
    layers: nodes.slice(0, 3).map((n, i) => ({ node: n.name, worst: (14 - 3 * i) / 10, share: 0.01 })),
  },
});

const classes: ClassFacts[] = ['cat', 'dog', 'ship', 'frog'].map((name, i) => ({
  class: i,
  name,
  samples: 500,
  float: 0.97,
  quantized: 0.97 + [0.004, -0.02, 0, -0.004][i]!,
  rightToWrong: [0, 10, 1, 3][i]!,
  wrongToRight: [2, 0, 1, 1][i]!,
}));
const evaluation = (prefix: string): EvaluationFacts => ({
  samples: 2000,
  sampleSet: 'ef'.repeat(32),
  metrics: [
    {
      name: 'top1',
      unit: '%',
      float: 97.35,
      quantized: 97.3,
      change: -0.05,
      interval: [-0.41, 0.31],
      higherIsBetter: true,
      samples: 2000,
      classes,
    },
  ],
  agreement: {
    same: 0.994,
    rightToWrong: 7,
    wrongToRight: 6,
    mcnemarP: 1,
    kl: 0.00021,
    flips: [
      { sample: `${prefix}test/0007.png`, label: 1, float: 1, quantized: 0, thumbnail: PIXELS },
      { sample: 'test/0012.png', label: 2, float: 3, quantized: 2 },
    ],
  },
  outputs: [{ name: `${prefix}logits`, cosine: 0.99921, sqnrDb: 28.31, mse: 0.00123, maxAbsError: 0.81 }],
  data: { images: 'glyphs/test' },
  search: {
    samples: 500,
    metrics: [
      {
        name: 'top1',
        unit: '%',
        float: 97.4,
        quantized: 97.6,
        change: 0.2,
        interval: [-0.3, 0.7],
        higherIsBetter: true,
      },
    ],
  },
});

function runTimes(p50: number, rest: Omit<RunTimes, 'p50'>): RunTimes {
  const low = p50 * 0.92;
  const high = p50 * 1.9;
  return {
    p50,
    ...rest,
    p50Interval: [p50 * 0.99, p50 * 1.01],
    p90Interval: [rest.p90 * 0.98, rest.p90 * 1.03],
    p99Interval: [rest.p99 * 0.95, rest.p99 * 1.3],
    histogram: {
      low,
      high,
      counts: Array.from(
        { length: 60 },
        (_, i) => Math.round(60 * Math.exp(-(((i - 5) / 4) ** 2) / 2)) + (i === 55 ? 1 : 0),
      ),
    },
  };
}
const latency = (prefix: string): LatencyFacts => ({
  threads: 1,
  runs: 300,
  warmup: 10,
  batch: 1,
  inputShapes: { [`${prefix}image`]: [1, 3, 32, 32] },
  floatMs: runTimes(0.761, { p90: 0.82, p99: 0.97, mean: 0.78 }),
  quantizedMs: runTimes(0.342, { p90: 0.36, p99: 0.44, mean: 0.35 }),
  speedup: 2.21,
  speedupInterval: [2.18, 2.25],
  drift: { float: 1.01, quantized: 0.99 },
  throughput: { float: 1314, quantized: 2924 },
  process: {
    float: { loadMs: 12.1, firstRunMs: 2.2, peakBytes: 14_200_000 },
    quantized: { loadMs: 19.4, firstRunMs: 1.9, peakBytes: 9_100_000 },
  },
});
export const gate: GateFacts = {
  verdict: 'pass',
  confidence: 0.95,
  against: 'float',
  rules: [
    {
      name: 'accuracyDrop',
      verdict: 'pass',
      text: 'top1 drops by 0.05 points, at most 0.41: inside of 0.50 points',
      limit: 0.5,
      observed: 0.05,
      interval: [-0.31, 0.41],
      unit: 'points',
      samples: 2000,
    },
    {
      name: 'latencyRatio',
      verdict: 'pass',
      text: 'p50 takes 0.45 × the time of float: below 0.80',
      limit: 0.8,
      observed: 0.452,
      interval: [0.444, 0.459],
      unit: '×',
    },
  ],
};
/** The same gate with a rule that fails and one that is open. */
export const failedGate: GateFacts = {
  ...gate,
  verdict: 'fail',
  rules: [
    {
      name: 'accuracyDrop',
      verdict: 'undecided',
      text: 'top1 drops by 0.05 points, between −0.31 and 0.41: 0.2 points lies inside',
      limit: 0.2,
      observed: 0.05,
      interval: [-0.31, 0.41],
      unit: 'points',
      samples: 2000,
      samplesNeeded: 11_520,
    },
    {
      name: 'sizeRatio',
      verdict: 'fail',
      text: 'the file has 0.28 × the bytes of float: above 0.25',
      limit: 0.25,
      observed: 0.28,
      interval: [0.28, 0.28],
      unit: '×',
    },
    gate.rules[1]!,
  ],
};
