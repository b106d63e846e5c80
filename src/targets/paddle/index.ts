import type { Target } from '../types.js';
import { emit, refuses } from './emit.js';

const DOCS = 'https://www.paddlepaddle.org.cn/inference/master/guides/x86_cpu_infer/paddle_x86_cpu_int8.html';
const PASSES = 'https://github.com/PaddlePaddle/Paddle/blob/v3.3.1/paddle/fluid/framework/ir/onednn';

/** Rules follow from the passes of 3.3.1 and from models that ran in it, on x64. */
export const paddle = {
  name: 'paddle',
  aliases: ['paddleinference'],
  doc:
    'Paddle Inference, x64 CPU with oneDNN: a program with quantize_linear and dequantize_linear, of which its ' +
    'passes make int8 kernels. Numbers are simulated in onnxruntime.',
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
  // Weights are rounded again to the absolute maximum of each channel, so that codes kept small do not stay so.
  u8s8: 'exact',
  ports: {
    activation: { types: ['int8'], symmetric: true, narrow: true, granularity: ['tensor'] },
    weight: { types: ['int8'], symmetric: true, narrow: true, granularity: ['tensor', 'axis'] },
  },
  beyondPorts: 'refused',
  bias: 'float',
  fusions: ['Conv Gemm Add > Relu Clip'],
  fusedSums: ['Conv > Add'],
  integerOps: {
    Conv: {},
    Gemm: { floatOutput: true },
    MatMul: { floatOutput: true, channelAxes: 2 },
    Add: {},
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
  quirks: [
    {
      code: 'SYMMETRIC_ONLY',
      text: 'Zero points must be 0: scales are absolute maxima.',
      source: `${PASSES}/quant_dequant_onednn_pass.cc`,
    },
    {
      code: 'UNSIGNED_BEHIND_RELU',
      text:
        'Behind a Relu, codes are uint8 with 255 steps to the absolute maximum where 127 are simulated: results ' +
        'there are finer than those here, and differ from them by the rounding.',
      source: `${PASSES}/compute_propagate_scales_onednn_pass.cc`,
    },
    {
      code: 'WEIGHTS_ROUNDED_AGAIN',
      text:
        'Weights become float and are rounded again, with scales from the largest weight of each channel: codes are ' +
        'kept where that one has the code 127. On CPUs without VNNI, oneDNN halves them for int8 inputs, and pairs ' +
        'of products saturate for uint8 ones.',
      source: 'https://uxlfoundation.github.io/oneDNN/dev_guide_int8_computations.html',
    },
    {
      code: 'MEAN_IN_FLOAT',
      text:
        'Means over the whole map are written as reduce_mean, in float: oneDNN has no int8 pool for them ("could not ' +
        'create a descriptor for a pooling forward").',
      source: `${PASSES}/cpu_quantize_pass.cc`,
    },
    {
      code: 'PAD_AS_CONCAT',
      text: 'The operator pad damages memory under oneDNN (2.6.2, 3.3.1): borders are joined with concat.',
      source: 'https://github.com/PaddlePaddle/Paddle/issues',
    },
  ],
  emitter: { precisions: ['float32'], refuses, emit },
  adapter: { kind: 'python', packages: ['paddlepaddle'] },
  usage: [
    {
      language: 'Python',
      code: [
        'import paddle.inference as pi',
        "config = pi.Config('{model}', '{model}'.replace('.pdmodel', '.pdiparams'))",
        'config.disable_gpu(); config.enable_mkldnn(); config.enable_mkldnn_int8()',
        'predictor = pi.create_predictor(config)',
        'x = predictor.get_input_handle(predictor.get_input_names()[0])',
        'x.reshape(data.shape); x.copy_from_cpu(data)',
        'predictor.run()',
        'y = predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()',
      ],
    },
    {
      language: 'Cpp',
      code: [
        'const std::string model = "{model}";',
        'paddle_infer::Config config(model, model.substr(0, model.size() - 7) + "pdiparams");',
        'config.DisableGpu(); config.EnableMKLDNN(); config.EnableMkldnnInt8();',
        'auto predictor = paddle_infer::CreatePredictor(config);',
      ],
    },
  ],
} satisfies Target;
