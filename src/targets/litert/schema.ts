/**
 * The tables of a .tflite file that are written here: numbers of operators, types and fields. Facts of the schema,
 * version 3. source:
 * https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
 */
export const FILE_ID = 'TFL3';
export const SCHEMA_VERSION = 3;

export const TENSOR_TYPES = {
  float32: 0,
  float16: 1,
  int32: 2,
  uint8: 3,
  int64: 4,
  bool: 6,
  int16: 7,
  int8: 9,
  float64: 10,
  uint32: 15,
} as const;
export type TensorType = keyof typeof TENSOR_TYPES;

export const PADDING = { SAME: 0, VALID: 1 } as const;
export const ACTIVATION = { NONE: 0, RELU: 1, RELU_N1_TO_1: 2, RELU6: 3 } as const;
export const MIRROR = { REFLECT: 0, SYMMETRIC: 1 } as const;

export type FieldKind = 'int8' | 'int32' | 'float32';
type Fields = Readonly<Record<string, readonly [slot: number, kind: FieldKind]>>;
interface OptionsTable {
  /** Its number in the union BuiltinOptions. */
  readonly type: number;
  readonly fields: Fields;
}
const empty = (type: number): { readonly type: number; readonly fields: Record<never, never> } => ({
  type,
  fields: {},
});

/** Options of operators. Booleans are of one byte. */
export const OPTIONS = {
  Conv2D: {
    type: 1,
    fields: {
      padding: [0, 'int8'],
      strideW: [1, 'int32'],
      strideH: [2, 'int32'],
      activation: [3, 'int8'],
      dilationW: [4, 'int32'],
      dilationH: [5, 'int32'],
    },
  },
  DepthwiseConv2D: {
    type: 2,
    fields: {
      padding: [0, 'int8'],
      strideW: [1, 'int32'],
      strideH: [2, 'int32'],
      multiplier: [3, 'int32'],
      activation: [4, 'int8'],
      dilationW: [5, 'int32'],
      dilationH: [6, 'int32'],
    },
  },
  Pool2D: {
    type: 5,
    fields: {
      padding: [0, 'int8'],
      strideW: [1, 'int32'],
      strideH: [2, 'int32'],
      filterW: [3, 'int32'],
      filterH: [4, 'int32'],
      activation: [5, 'int8'],
    },
  },
  FullyConnected: {
    type: 8,
    fields: {
      activation: [0, 'int8'],
      weightsFormat: [1, 'int8'],
      keepDims: [2, 'int8'],
      asymmetricInputs: [3, 'int8'],
    },
  },
  Softmax: { type: 9, fields: { beta: [0, 'float32'] } },
  Concatenation: { type: 10, fields: { axis: [0, 'int32'], activation: [1, 'int8'] } },
  Add: { type: 11, fields: { activation: [0, 'int8'] } },
  ResizeBilinear: { type: 15, fields: { alignCorners: [2, 'int8'], halfPixel: [3, 'int8'] } },
  Reshape: empty(17),
  SpaceToDepth: { type: 19, fields: { block: [0, 'int32'] } },
  Mul: { type: 21, fields: { activation: [0, 'int8'] } },
  Pad: empty(22),
  Gather: { type: 23, fields: { axis: [0, 'int32'], batchDims: [1, 'int32'] } },
  Transpose: empty(26),
  Reducer: { type: 27, fields: { keepDims: [0, 'int8'] } },
  Sub: { type: 28, fields: { activation: [0, 'int8'] } },
  Div: { type: 29, fields: { activation: [0, 'int8'] } },
  StridedSlice: {
    type: 32,
    fields: {
      beginMask: [0, 'int32'],
      endMask: [1, 'int32'],
      ellipsisMask: [2, 'int32'],
      newAxisMask: [3, 'int32'],
      shrinkAxisMask: [4, 'int32'],
    },
  },
  Exp: empty(33),
  TopKV2: empty(34),
  Split: { type: 35, fields: { count: [0, 'int32'] } },
  LogSoftmax: empty(36),
  Cast: { type: 37, fields: { from: [0, 'int8'], to: [1, 'int8'] } },
  Dequantize: empty(38),
  MaximumMinimum: empty(39),
  ArgMax: { type: 40, fields: { outputType: [0, 'int8'] } },
  Less: empty(41),
  Neg: empty(42),
  PadV2: empty(43),
  Greater: empty(44),
  GreaterEqual: empty(45),
  LessEqual: empty(46),
  Slice: empty(48),
  TransposeConv: {
    type: 49,
    fields: { padding: [0, 'int8'], strideW: [1, 'int32'], strideH: [2, 'int32'], activation: [3, 'int8'] },
  },
  Tile: empty(51),
  Equal: empty(53),
  NotEqual: empty(54),
  Pow: empty(56),
  ArgMin: { type: 57, fields: { outputType: [0, 'int8'] } },
  LogicalOr: empty(60),
  LogicalAnd: empty(62),
  LogicalNot: empty(63),
  Square: empty(66),
  FloorMod: empty(72),
  ResizeNearestNeighbor: { type: 74, fields: { alignCorners: [0, 'int8'], halfPixel: [1, 'int8'] } },
  LeakyRelu: { type: 75, fields: { alpha: [0, 'float32'] } },
  SquaredDifference: empty(76),
  MirrorPad: { type: 77, fields: { mode: [0, 'int8'] } },
  Abs: empty(78),
  SplitV: { type: 79, fields: { count: [0, 'int32'] } },
  Cos: empty(84),
  Quantize: empty(89),
  HardSwish: empty(91),
  DepthToSpace: { type: 94, fields: { block: [0, 'int32'] } },
  SelectV2: empty(98),
  BatchMatMul: { type: 101, fields: { adjX: [0, 'int8'], adjY: [1, 'int8'], asymmetricInputs: [2, 'int8'] } },
  Cumsum: { type: 102, fields: { exclusive: [0, 'int8'], reverse: [1, 'int8'] } },
  BroadcastTo: empty(104),
  Gelu: { type: 116, fields: { approximate: [0, 'int8'] } },
  Sign: empty(123),
} as const satisfies Readonly<Record<string, OptionsTable>>;
type OptionsName = keyof typeof OPTIONS;

/** Numbers of operators, and the table of their options where they have one. */
export const OPERATORS = {
  ADD: [0, 'Add'],
  AVERAGE_POOL_2D: [1, 'Pool2D'],
  CONCATENATION: [2, 'Concatenation'],
  CONV_2D: [3, 'Conv2D'],
  DEPTHWISE_CONV_2D: [4, 'DepthwiseConv2D'],
  DEPTH_TO_SPACE: [5, 'DepthToSpace'],
  DEQUANTIZE: [6, 'Dequantize'],
  FLOOR: [8],
  FULLY_CONNECTED: [9, 'FullyConnected'],
  LOGISTIC: [14],
  MAX_POOL_2D: [17, 'Pool2D'],
  MUL: [18, 'Mul'],
  RELU: [19],
  RELU_N1_TO_1: [20],
  RELU6: [21],
  RESHAPE: [22, 'Reshape'],
  RESIZE_BILINEAR: [23, 'ResizeBilinear'],
  SOFTMAX: [25, 'Softmax'],
  SPACE_TO_DEPTH: [26, 'SpaceToDepth'],
  TANH: [28],
  PAD: [34, 'Pad'],
  GATHER: [36, 'Gather'],
  TRANSPOSE: [39, 'Transpose'],
  MEAN: [40, 'Reducer'],
  SUB: [41, 'Sub'],
  DIV: [42, 'Div'],
  STRIDED_SLICE: [45, 'StridedSlice'],
  EXP: [47, 'Exp'],
  TOPK_V2: [48, 'TopKV2'],
  SPLIT: [49, 'Split'],
  LOG_SOFTMAX: [50, 'LogSoftmax'],
  CAST: [53, 'Cast'],
  PRELU: [54],
  MAXIMUM: [55, 'MaximumMinimum'],
  ARG_MAX: [56, 'ArgMax'],
  MINIMUM: [57, 'MaximumMinimum'],
  LESS: [58, 'Less'],
  NEG: [59, 'Neg'],
  PADV2: [60, 'PadV2'],
  GREATER: [61, 'Greater'],
  GREATER_EQUAL: [62, 'GreaterEqual'],
  LESS_EQUAL: [63, 'LessEqual'],
  SLICE: [65, 'Slice'],
  SIN: [66],
  TRANSPOSE_CONV: [67, 'TransposeConv'],
  TILE: [69, 'Tile'],
  EQUAL: [71, 'Equal'],
  NOT_EQUAL: [72, 'NotEqual'],
  LOG: [73],
  SUM: [74, 'Reducer'],
  SQRT: [75],
  RSQRT: [76],
  POW: [78, 'Pow'],
  ARG_MIN: [79, 'ArgMin'],
  REDUCE_PROD: [81, 'Reducer'],
  REDUCE_MAX: [82, 'Reducer'],
  LOGICAL_OR: [84, 'LogicalOr'],
  LOGICAL_AND: [86, 'LogicalAnd'],
  LOGICAL_NOT: [87, 'LogicalNot'],
  REDUCE_MIN: [89, 'Reducer'],
  SQUARE: [92, 'Square'],
  FLOOR_MOD: [95, 'FloorMod'],
  RESIZE_NEAREST_NEIGHBOR: [97, 'ResizeNearestNeighbor'],
  LEAKY_RELU: [98, 'LeakyRelu'],
  SQUARED_DIFFERENCE: [99, 'SquaredDifference'],
  MIRROR_PAD: [100, 'MirrorPad'],
  ABS: [101, 'Abs'],
  SPLIT_V: [102, 'SplitV'],
  CEIL: [104],
  COS: [108, 'Cos'],
  ELU: [111],
  QUANTIZE: [114, 'Quantize'],
  ROUND: [116],
  HARD_SWISH: [117, 'HardSwish'],
  SELECT_V2: [123, 'SelectV2'],
  BATCH_MATMUL: [126, 'BatchMatMul'],
  CUMSUM: [128, 'Cumsum'],
  BROADCAST_TO: [130, 'BroadcastTo'],
  GELU: [150, 'Gelu'],
  SIGN: [158, 'Sign'],
} as const satisfies Readonly<Record<string, readonly [code: number, options?: OptionsName]>>;
export type Operator = keyof typeof OPERATORS;

/** Fields of an operator's options; all of them are written. */
export type OptionsOf<O extends Operator> = (typeof OPERATORS)[O] extends readonly [number, infer T extends OptionsName]
  ? { readonly [F in keyof (typeof OPTIONS)[T]['fields']]: number | boolean }
  : Record<never, never>;

/** Operators of numbers from here on stand in a field of their own; the old field of one byte holds this. */
export const OLD_CODES_END = 127;
