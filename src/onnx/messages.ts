/** Types of decoded messages. */
import type { onnx } from './proto.js';
import type { Decoded } from './wire.js';

export type AttributeMessage = Decoded<onnx.AttributeProto.$Properties>;
export type FunctionMessage = Decoded<onnx.FunctionProto.$Properties>;
export type GraphMessage = Decoded<onnx.GraphProto.$Properties>;
export type NodeMessage = Decoded<onnx.NodeProto.$Properties>;
export type OpsetMessage = Decoded<onnx.OperatorSetIdProto.$Properties>;
export type SparseMessage = Decoded<onnx.SparseTensorProto.$Properties>;
export type TensorMessage = Decoded<onnx.TensorProto.$Properties>;
export type DimensionMessage = Decoded<onnx.TensorShapeProto.Dimension.$Properties>;
export type TypeMessage = Decoded<onnx.TypeProto.$Properties>;
export type ValueInfoMessage = Decoded<onnx.ValueInfoProto.$Properties>;
