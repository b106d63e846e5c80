/**
 * Type names and attribute-type names of the text syntax, and non-tensor types as the proto objects that Value.other
 * keeps.
 */
import type { DType } from '../dtype.js';
import { DTYPES, dtypeCode, dtypeFromCode } from '../dtype.js';
import type { Dim, OtherType, Shape } from '../graph.js';

/** The text syntax says float, double and upper-snake variants of the 8-bit floats in lower case, as ir does. */
const RENAMED: Partial<Record<DType, string>> = { float32: 'float', float64: 'double' };
export const typeName = (dtype: DType): string => RENAMED[dtype] ?? dtype;
const byName = new Map<string, DType>(DTYPES.map((d) => [typeName(d), d]));
export const dtypeOfName = (name: string): DType | undefined => byName.get(name);

export const OTHER_KEYWORDS: Readonly<Record<string, OtherType['kind']>> = {
  seq: 'sequence',
  map: 'map',
  optional: 'optional',
  sparse_tensor: 'sparse',
  opaque: 'opaque',
};
export const isTypeName = (name: string): boolean => byName.has(name) || Object.hasOwn(OTHER_KEYWORDS, name);

/** AttributeProto.AttributeType by name; the plain kinds are also the tags of ir attributes. */
export const ATTRIBUTE_TYPES: Readonly<Record<string, number>> = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
  tensors: 9,
  graphs: 10,
  sparse_tensor: 11,
  sparse_tensors: 12,
  type_proto: 13,
  type_protos: 14,
};
export const attributeTypeName = (code: number): string | undefined =>
  Object.keys(ATTRIBUTE_TYPES).find((name) => ATTRIBUTE_TYPES[name] === code);

/** A type as written: a tensor type, or the proto of another kind. */
export interface TextType {
  readonly dtype?: DType;
  readonly shape?: Shape | undefined;
  readonly other?: OtherType;
}

/** The TypeProto (camel-cased, as protobufjs has it) of a written type. */
export function protoOf(type: TextType): object {
  if (type.other) return type.other.proto as object; // made by the parser
  return {
    tensorType: {
      elemType: type.dtype ? dtypeCode(type.dtype) : 0,
      ...(type.shape ? { shape: shapeProto(type.shape) } : {}),
    },
  };
}
const shapeProto = (shape: Shape): object => ({
  dim: shape.map((d) => (d === null ? {} : typeof d === 'string' ? { dimParam: d } : { dimValue: d })),
});

export const isPlainName = (name: string): boolean =>
  /^[A-Za-z_]\w*$/.test(name) && !isTypeName(name) && !/^(inf|infinity|nan)$/i.test(name);
export const quote = (text: string): string => `"${text.replace(/[\\"]/g, '\\$&')}"`;
export const printName = (name: string): string => (isPlainName(name) ? name : quote(name));

export function printTensorType(dtype: DType, shape: Shape | undefined): string {
  if (!shape) return `${typeName(dtype)}[]`;
  return shape.length === 0 ? typeName(dtype) : `${typeName(dtype)}[${shape.map(printDim).join(',')}]`;
}
const printDim = (d: Dim): string => (d === null ? '?' : typeof d === 'number' ? String(d) : printName(d));

interface LooseType {
  readonly tensorType?: LooseTensorType | null;
  readonly sparseTensorType?: LooseTensorType | null;
  readonly sequenceType?: { readonly elemType?: LooseType | null } | null;
  readonly optionalType?: { readonly elemType?: LooseType | null } | null;
  readonly mapType?: { readonly keyType?: number; readonly valueType?: LooseType | null } | null;
  readonly opaqueType?: { readonly domain?: string; readonly name?: string } | null;
}
interface LooseTensorType {
  readonly elemType?: number;
  readonly shape?: { readonly dim?: readonly LooseDim[] } | null;
}
interface LooseDim {
  readonly dimParam?: string | null;
  readonly dimValue?: unknown;
}

/** A TypeProto as text; undefined where the syntax has no words for it. */
export function printProto(proto: unknown): string | undefined {
  const type = proto as LooseType; // a TypeProto by contract of Value.other
  if (type.tensorType) return printLoose(type.tensorType);
  if (type.sparseTensorType) return wrap('sparse_tensor', printLoose(type.sparseTensorType));
  if (type.sequenceType) return wrap('seq', printProto(type.sequenceType.elemType ?? {}));
  if (type.optionalType) return wrap('optional', printProto(type.optionalType.elemType ?? {}));
  if (type.mapType) {
    const key = dtypeFromCode(type.mapType.keyType ?? 0);
    const value = printProto(type.mapType.valueType ?? {});
    return key && value ? `map(${typeName(key)}, ${value})` : undefined;
  }
  if (type.opaqueType)
    return `opaque(${[type.opaqueType.domain, type.opaqueType.name]
      .filter(Boolean)
      .map((n) => quote(n!))
      .join(', ')})`;
  return undefined;
}
const wrap = (word: string, inner: string | undefined): string | undefined =>
  inner === undefined ? undefined : `${word}(${inner})`;

function printLoose(type: LooseTensorType): string | undefined {
  const dtype = dtypeFromCode(type.elemType ?? 0);
  const dims = type.shape?.dim?.map((d): Dim =>
    d.dimParam ? d.dimParam : Object.hasOwn(d, 'dimValue') ? Number(d.dimValue) : null,
  ); // Long has valueOf
  return dtype && printTensorType(dtype, type.shape ? (dims ?? []) : undefined);
}
