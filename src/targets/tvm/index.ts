import { programEmitter } from '../shared/program.js';
import type { Target } from '../types.js';

const SOURCE = 'https://tvm.apache.org/docs/reference/api/python/relax/op.html';

/** The operators of load.py. */
const OPS =
  'Add AveragePool Clip Concat Conv Div Erf Exp Flatten Gemm GlobalAveragePool Identity MatMul MaxPool ' +
  'Mul Pad ReduceMean Relu ' +
  'Reshape Sigmoid Slice Softmax Sqrt Squeeze Sub Tanh Transpose Unsqueeze';

/** TVM reads Q/DQ pairs as float; the loader lowers convolutions and products to int8 × int8 in int32 instead. */
export const tvm = {
  name: 'tvm',
  aliases: ['apachetvm'],
  doc:
    'Apache TVM: a list of layers, their tensors, and a lowering to integer kernels. Numbers are ' +
    'simulated in onnxruntime.',
  source: SOURCE,
  host: 'simulated',
  hardware: 'what LLVM compiles for',
  artefact: 'files',
  formats: ['qdq'],
  maxOpset: 22,
  defaults: {
    activations: { dtype: 'int8', symmetric: true },
    weights: { dtype: 'int8', symmetric: true },
    weightGranularity: 'channel',
  },
  u8s8: 'exact',
  ports: {
    activation: { types: ['int8'], symmetric: true, granularity: ['tensor'] },
    weight: { types: ['int8'], symmetric: true, granularity: ['tensor', 'axis'] },
  },
  beyondPorts: 'refused',
  bias: 'float',
  fusions: ['Conv Gemm MatMul Add > Relu Clip'],
  integerOps: { Conv: {}, Gemm: { floatOutput: true }, MatMul: { floatOutput: true, channelAxes: 2 }, Add: {} },
  passthroughOps: [
    'Relu',
    'Clip',
    'MaxPool',
    'Reshape',
    'Flatten',
    'Transpose',
    'Squeeze',
    'Unsqueeze',
    'Slice',
    'Pad',
  ],
  onCodes: [],
  byteCodes: [],
  ownOps: [],
  emitter: programEmitter('tvm', OPS, 'fixed'),
  adapter: { kind: 'python', packages: ['apache-tvm', 'numpy'] },
  usage: [
    {
      language: 'Python',
      code: [
        'import tvm, load  # {model}, in this folder',
        'module, _ = load.load()',
        "vm = tvm.relax.VirtualMachine(tvm.compile(module, target='llvm'), tvm.cpu())",
        "outputs = vm['main'](tvm.runtime.tensor(x))",
      ],
    },
  ],
  quirks: [
    {
      code: 'QDQ_IN_FLOAT',
      text: "TVM's reader of ONNX computes models with Q/DQ pairs in float: this target does not use it.",
      source: SOURCE,
    },
  ],
} satisfies Target;
