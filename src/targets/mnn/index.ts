import type { Model } from '../../ir/model.js';
import { refusalsByName } from '../shared/refusals.js';
import type { StaysFloat, Target } from '../types.js';
import { emit } from './emit.js';

const DOCS = 'https://mnn-docs.readthedocs.io/en/latest/tools/compress.html';
const SOURCE = 'https://github.com/alibaba/MNN/blob/3.6.1/source/backend/cpu';
const CONVERT =
  "import _tools; _tools.mnnconvert(['MNNConvert', '-f', 'ONNX', '--modelFile', 'model.onnx', '--MNNModel', " +
  "'model.mnn', '--bizCode', 'MNN', '--compressionParamsFile', 'compression.json'])";

/** What `MNNConvert -f ONNX --OP` of 3.6.1 lists. */
const OPS =
  'Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift Cast CastLike ' +
  'Ceil Celu Clip Compress Concat ConcatFromSequence Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum ' +
  'DepthToSpace Det Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements ' +
  'GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample HardSigmoid ' +
  'HardSwish Identity InstanceNormalization LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax ' +
  'LpNormalization LpPool MatMul Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization Min Mod Mul ' +
  'Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow RNN RandomNormal RandomNormalLike RandomUniform ' +
  'RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ' +
  'ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round STFT Scatter ' +
  'ScatterElements ScatterND Selu SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert ' +
  'SequenceLength Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split ' +
  'SplitToSequence Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample ' +
  'Where Xor';

const refuses = ({ model }: { readonly model: Model }): readonly StaysFloat[] =>
  refusalsByName(model, new Set(OPS.split(' ')));

/** Rules follow from the source of 3.6.1 and from models that ran in its Python package, on x64. */
export const mnn = {
  name: 'mnn',
  aliases: ['alibabamnn'],
  doc:
    'MNN, CPU: the float ONNX model and a table of scales, of which its converter makes an int8 model. Numbers are ' +
    'simulated in onnxruntime.',
  source: DOCS,
  host: 'simulated',
  hardware: 'ARM and x64 CPUs',
  artefact: 'files',
  formats: ['qdq', 'float16'],
  maxOpset: 20,
  defaults: {
    activations: { dtype: 'int8', symmetric: true, narrow: true },
    weights: { dtype: 'int8', symmetric: true, narrow: true },
    weightGranularity: 'channel',
  },
  // Codes are widened before they are multiplied (method QAT): x86_x64/avx/GemmInt8.cpp.
  u8s8: 'exact',
  ports: {
    activation: { types: ['int8'], symmetric: true, narrow: true, granularity: ['tensor'] },
    weight: { types: ['int8'], symmetric: true, narrow: true, granularity: ['tensor', 'axis'] },
  },
  beyondPorts: 'refused',
  zeroPointsBetween: ['Conv', 'Gemm', 'MatMul'],
  bias: 'float',
  fusions: ['Conv Gemm Add > Relu Clip'],
  integerOps: { Conv: {}, Gemm: {}, MatMul: { channelAxes: 2 }, Add: {} },
  // Scales go on through these, forwards and backwards: source/core/Pipeline.cpp, _getQuantPropagateOp.
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
  quirks: [
    {
      code: 'SYMMETRIC_ONLY',
      text:
        'Zero points other than 0 give wrong results but between convolutions and products, and the code −128 is not ' +
        'used.',
      source: DOCS,
    },
    {
      code: 'MEAN_ON_CODES',
      text:
        'AveragePool on codes rounds down and takes the scale of its output for that of its input: it is written as ' +
        'ReduceMean, or as a convolution, in float.',
      source: `${SOURCE}/CPUPoolInt8.cpp`,
    },
    {
      code: 'GROUPS_IN_FLOAT',
      text: 'Grouped convolutions that are not depthwise are taken apart by the converter, and stay float.',
      source:
        'https://github.com/alibaba/MNN/blob/3.6.1/tools/converter/source/optimizer/onnxextra/OnnxConvolutionMerge.cpp',
    },
    {
      code: 'CONSOLE_SCRIPTS',
      text:
        'The console scripts mnnconvert and mnnquant of the Python package install packages and report home; its ' +
        'module _tools and the MNNConvert of the C++ build do not.',
      source: 'https://github.com/alibaba/MNN/tree/3.6.1/pymnn/pip_package/MNN/tools',
    },
  ],
  emitter: { precisions: ['float32'], refuses, emit },
  adapter: { kind: 'python', packages: ['MNN'] },
  usage: [
    {
      language: 'Shell',
      code: [`python -c "${CONVERT}"`],
    },
    {
      language: 'Python',
      code: [
        'import MNN',
        "net = MNN.Interpreter('model.mnn')",
        "session = net.createSession({'backend': 'CPU', 'precision': 'high'})",
        'x = net.getSessionInput(session)',
        'x.copyFrom(MNN.Tensor(data.shape, MNN.Halide_Type_Float, data, MNN.Tensor_DimensionType_Caffe))',
        'net.runSession(session)',
        'y = net.getSessionOutput(session)',
      ],
    },
    {
      language: 'Cpp',
      code: [
        'std::shared_ptr<MNN::Interpreter> net(MNN::Interpreter::createFromFile("model.mnn"));',
        'auto session = net->createSession(MNN::ScheduleConfig());',
        'net->getSessionInput(session, nullptr)->copyFromHostTensor(input);',
        'net->runSession(session);',
        'net->getSessionOutput(session, nullptr)->copyToHostTensor(output);',
      ],
    },
  ],
} satisfies Target;
