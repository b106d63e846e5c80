/** TypeProto and ValueInfoProto to and from what a Value says of its type. */
import { fail, type Where } from '../base/errors.js';
import { dtypeCode, dtypeFromCode, type DType } from '../ir/dtype.js';
import { MAX_RANK, type Dim, type OtherType, type Shape, type Value } from '../ir/graph.js';
import type { DimensionMessage, TypeMessage, ValueInfoMessage } from './messages.js';
import type { onnx } from './proto.js';
import { fromBigInt, has, keep, toBigInt, type Extra } from './wire.js';

/**
 * The part of a value's type that a plain dtype and shape do not carry (denotations), kept to be written back as it
 * was.
 */
interface ValueExtra {
  readonly info?: Extra | undefined;
  readonly type?:
    { readonly proto: TypeMessage; readonly dtype: DType | undefined; readonly shape: Shape | undefined } | undefined;
}
const extraOf = (value: Value): ValueExtra => value.extra ?? {}; // set below only

/**
 * Fills what `info` declares into `value`; what is already known stays. Throws MODEL_TENSOR for unknown element types.
 */
export function describeValue(value: Value, info: ValueInfoMessage, where: Where): void {
  if (info.docString && !value.doc) value.doc = info.docString;
  const fields = keep(info, ['metadataProps']);
  if (fields) value.extra = { ...extraOf(value), info: { ...fields, ...extraOf(value).info } };
  const type = info.type;
  if (!type) return;
  const tensor = type.tensorType;
  if (!tensor) {
    const kind = otherKind(type);
    if (kind && value.dtype === undefined) value.other ??= { kind, proto: type };
    return;
  }
  if (tensor.elemType !== 0) {
    const dtype =
      dtypeFromCode(tensor.elemType) ??
      fail(
        'MODEL_TENSOR',
        `'${value.name}' is declared with unknown element type ${tensor.elemType}`,
        { ...where, tensor: value.name },
        'ONNX defines types 1 to 26',
      );
    value.dtype ??= dtype;
  }
  const rank = tensor.shape?.dim.length ?? 0;
  if (rank > MAX_RANK) {
    fail(
      'MODEL_LIMIT',
      `'${value.name}' is declared with ${rank} axes`,
      { ...where, tensor: value.name },
      `tensors have at most ${MAX_RANK}`,
    );
  }
  if (tensor.shape && value.shape === undefined) value.shape = tensor.shape.dim.map(decodeDim);
  if (hasMore(type)) value.extra = { ...extraOf(value), type: { proto: type, dtype: value.dtype, shape: value.shape } };
}

function decodeDim(dim: DimensionMessage): Dim {
  if (has(dim, 'dimParam') && dim.dimParam) return dim.dimParam;
  if (!has(dim, 'dimValue')) return null;
  const size = Number(toBigInt(dim.dimValue));
  return Number.isSafeInteger(size) && size >= 0 ? size : null; // some exporters write -1 for "unknown"
}

function otherKind(type: TypeMessage): OtherType['kind'] | undefined {
  if (type.sequenceType) return 'sequence';
  if (type.optionalType) return 'optional';
  if (type.mapType) return 'map';
  if (type.sparseTensorType) return 'sparse';
  if (type.opaqueType) return 'opaque';
  return undefined;
}

function hasMore(type: TypeMessage): boolean {
  const shape = type.tensorType?.shape;
  const unknown = [type, type.tensorType, shape, ...(shape?.dim ?? [])].some((m) => m && has(m, '$unknowns'));
  return unknown || type.denotation !== '' || (shape?.dim.some((d) => d.denotation !== '') ?? false);
}

/** The declaration of a value, or undefined where nothing is known of it. */
export function valueInfo(value: Value): onnx.ValueInfoProto.$Properties | undefined {
  const { info } = extraOf(value);
  if (value.dtype === undefined && value.shape === undefined && !value.other && !info && !value.doc) return undefined;
  const message: onnx.ValueInfoProto.$Properties = { ...info, name: value.name };
  const type = valueType(value);
  if (type) message.type = type;
  if (value.doc) message.docString = value.doc;
  return message;
}

function valueType(value: Value): onnx.TypeProto.$Properties | undefined {
  if (value.other) return value.other.proto as onnx.TypeProto.$Properties; // kept by describeValue or made by ir/text
  const original = extraOf(value).type;
  if (original && original.dtype === value.dtype && original.shape === value.shape)
    return original.proto as onnx.TypeProto.$Properties; // unchanged since it was decoded
  // a shape alone cannot be said: element type 0 is refused by runtimes
  if (value.dtype === undefined) return undefined;
  const tensorType: onnx.TypeProto.Tensor.$Properties = { elemType: dtypeCode(value.dtype) };
  if (value.shape)
    tensorType.shape = {
      dim: value.shape.map((d) =>
        d === null ? {} : typeof d === 'string' ? { dimParam: d } : { dimValue: fromBigInt(BigInt(d)) },
      ),
    };
  return { tensorType };
}
