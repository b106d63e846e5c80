import type { Target } from '../types.js';
import { emit, refuses } from './emit.js';

const DOCS = 'https://www.paddlepaddle.org.cn/inference/master/guides/x86_cpu_infer/paddle_x86_cpu_int8.html';

export const paddle = {
  name: 'paddle',
  aliases: ['paddleinference'],
  doc: 'Paddle Inference, x64 CPU with oneDNN. Numbers are simulated in onnxruntime.',
  source: DOCS,
  host: 'simulated',
  hardware: 'x64 CPUs',
  artefact: 'files',
  formats: ['qdq', 'float16'],
  maxOpset: 20,
  defaults: {
    activations: { dtype: 'int8', symmetric: true, narrow: true },
    weights: { dtype: 'int8', symmetric: true, narrow: true },
    weightGranularity: 'channel',
  },
  u8s8: 'pairs',
  ports: {
    activation: { types: ['int8'], symmetric: true, narrow: true, granularity: ['tensor'] },
    weight: { types: ['int8'], symmetric: true, narrow: true, granularity: ['tensor', 'axis'] },
  },
  beyondPorts: 'refused',
  bias: 'float',
  fusions: ['Conv Gemm Add > Relu Clip'],
  integerOps: {
    Conv: { floatOutput: true },
    Gemm: { floatOutput: true },
    MatMul: { floatOutput: true, channelAxes: 2 },
  },
  passthroughOps: [
    'Relu',
    'Clip',
    'MaxPool',
    'Reshape',
    'Flatten',
    'Transpose',
    'Slice',
    'Squeeze',
    'Unsqueeze',
    'Pad',
  ],
  onCodes: ['Pad', 'Slice', 'Relu', 'Clip'],
  byteCodes: ['Pad', 'Clip', 'Relu', 'MaxPool'],
  ownOps: [],
  quirks: [],
  emitter: { precisions: ['float32'], refuses, emit },
} satisfies Target;
