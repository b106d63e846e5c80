import { onnxruntimeCpu } from '../onnxruntime-cpu/index.js';
import { programEmitter } from '../shared/program.js';
import type { Target } from '../types.js';

const SOURCE = 'https://github.com/pytorch/pytorch/blob/v2.13.0/aten/src/ATen/native/quantized/library.cpp';

/** The operators of load.py. */
const OPS =
  'Abs Add And AveragePool Cast Clip Concat Conv Div Equal Erf Exp Expand Flatten Gather Gelu Gemm ' +
  'GlobalAveragePool Greater GreaterOrEqual HardSigmoid ' +
  'HardSwish Identity LayerNormalization LeakyRelu Less LessOrEqual Log MatMul Max MaxPool Min Mul Neg Not Or Pad Pow ' +
  'Reciprocal ReduceMean ' +
  'ReduceSum Relu Reshape Resize Sigmoid Slice Softmax Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze Where';

/** Kernels take activations of quint8 and weights of qint8; those of x86 add pairs in int16 without VNNI. */
export const pytorch = {
  name: 'pytorch',
  aliases: ['torch'],
  doc:
    'PyTorch, CPU: a list of layers, their tensors, and a loader that builds them from quantized ' +
    'operators. Numbers are ' +
    'simulated in onnxruntime.',
  source: SOURCE,
  host: 'simulated',
  hardware: 'x64 and ARM64 CPUs',
  artefact: 'files',
  formats: ['qdq'],
  maxOpset: 22,
  defaults: {
    activations: { dtype: 'uint8', symmetric: false },
    weights: { dtype: 'int8', symmetric: true },
    weightGranularity: 'channel',
  },
  u8s8: 'any-pairs',
  ports: {
    activation: { types: ['uint8', 'int8'], granularity: ['tensor'] },
    weight: { types: ['int8'], symmetric: true, granularity: ['tensor', 'axis'] },
  },
  beyondPorts: 'refused',
  bias: 'float',
  fusions: ['Conv Gemm MatMul Add > Relu Clip'],
  integerOps: {
    Conv: {},
    Gemm: { floatOutput: true },
    MatMul: {
      floatOutput: true,
      constantWeight: true,
      channelAxes: 2,
      activation: { types: ['uint8'], granularity: ['tensor'] },
    },
    Add: {},
    AveragePool: {},
    GlobalAveragePool: {},
    Concat: {},
  },
  passthroughOps: [
    'Relu',
    'MaxPool',
    'Reshape',
    'Flatten',
    'Transpose',
    'Squeeze',
    'Unsqueeze',
    'Slice',
    'Split',
    'Pad',
  ],
  onCodes: onnxruntimeCpu.onCodes,
  byteCodes: onnxruntimeCpu.byteCodes,
  ownOps: [],
  emitter: programEmitter('pytorch', OPS, 'any'),
  adapter: { kind: 'python', packages: ['torch', 'numpy'] },
  usage: [
    {
      language: 'Python',
      code: [
        'import load  # {model}, in this folder',
        'model = load.load()',
        'outputs = model(x)  # tensors in, a list of tensors out',
      ],
    },
  ],
  quirks: [
    {
      code: 'U8S8_SATURATION',
      text:
        'The engines x86, onednn and fbgemm add two products in saturating int16 on CPUs without VNNI; ' +
        'qnnpack does not. ' +
        'Weights get codes of which no two of an output can saturate: 7 bits, but for the ' +
        'largest of each sign (quantize.weights.saturation).',
      source: 'https://docs.pytorch.org/docs/stable/quantization.html',
    },
    {
      code: 'MOVED_CODES',
      text: 'Kernels take quint8: int8 codes are moved by 128 when they are loaded, which changes no value.',
      source: SOURCE,
    },
  ],
} satisfies Target;
