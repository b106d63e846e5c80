/** ir objects as ONNX text, deterministic, such that parsing it gives the same graph. */
import type { Attr, Graph, Node, Value } from '../graph.js';
import type { FunctionDef, Model } from '../model.js';
import type { Tensor } from '../tensor.js';
import { literalsOf, printFloat } from './literal.js';
import { attributeTypeName, printName, printProto, printTensorType, quote, typeName } from './types.js';

export interface PrintOptions {
  /** Tensors of more elements print as `{...}`, which reads well but does not parse. Unlimited by default. */
  readonly maxElements?: number;
}

/**
 * The model as text. What the syntax has no words for is left out: doc strings of nodes and values, metadata of nodes,
 * unknown fields; sparse-tensor attributes print as `...`. Text that is not valid UTF-8 prints with replacement
 * characters.
 */
export function printModel(model: Model, options: PrintOptions = {}): string {
  const header = [
    `ir_version: ${model.irVersion}`,
    `opset_import: ${printOpsets(model.opsets)}`,
    ...keyed('producer_name', model.producerName),
    ...keyed('producer_version', model.producerVersion),
    ...keyed('domain', model.domain),
    ...(model.modelVersion === 0n ? [] : [`model_version: ${model.modelVersion}`]),
    ...keyed('doc_string', model.doc),
    ...(model.metadata.size
      ? [`metadata_props: [${[...model.metadata].map(([k, v]) => `${quote(k)}: ${quote(v)}`).join(', ')}]`]
      : []),
  ];
  const parts = [
    `<\n  ${header.join(',\n  ')}\n>\n${printGraph(model.graph, options)}`,
    ...model.functions.map((f) => printFunction(f, options)),
  ];
  return `${parts.join('\n')}\n`;
}

/** One graph as text; nodes in topological order. */
export function printGraph(graph: Graph, options: PrintOptions = {}, indent = ''): string {
  const nodes = graph.topological();
  const given = new Set<Value>([...graph.inputs, ...graph.outputs]);
  const infos = nodes.flatMap((n) => n.outputs).filter((v) => v.name && !given.has(v) && typeOf(v) !== undefined);
  const initializers = [...graph.initializers].filter((v) => v.data && !(graph.isInput(v) && isListedWithData(v)));
  // filtered by data
  const list = [...initializers.map((v) => printInitializer(v, v.data!, options)), ...infos.map(printValue)];
  const inputs = graph.inputs.map((v) =>
    v.data && isListedWithData(v) ? printInitializer(v, v.data, options) : printValue(v),
  );
  const body = nodes.map((n) => `${indent}  ${printNode(n, options, `${indent}  `)}\n`).join('');
  return (
    `${printName(graph.name)} (${inputs.join(', ')}) => ` +
    `(${graph.outputs.map(printValue).join(', ')})${
      list.length ? `\n${indent}<${list.join(', ')}>\n${indent}` : ' '
    }{\n` +
    `${body}${indent}}`
  );
}

/** One node as text, as it stands in a graph. */
export function printNode(node: Node, options: PrintOptions = {}, indent = ''): string {
  const domain = node.domain
    ? `${node.domain.split('.').every((s) => /^[A-Za-z_]\w*$/.test(s)) ? node.domain : quote(node.domain)}.`
    : '';
  const attributes = node.attrs.size
    ? ` <${[...node.attrs].map(([name, a]) => printAttribute(name, a, options, indent)).join(', ')}>`
    : '';
  const inputs = `(${node.inputs.map((v) => printName(v?.name ?? '')).join(', ')})`;
  const head =
    `${node.name ? `[${printName(node.name)}] ` : ''}${node.outputs.map((v) => printName(v.name)).join(', ')} = ` +
    `${domain}${printOp(node.op)}${node.overload ? `:${printName(node.overload)}` : ''}`;
  return node.subgraphs().length ? `${head} ${inputs}${attributes}` : `${head}${attributes} ${inputs}`;
}
const printOp = (op: string): string => (/^[A-Za-z_]\w*$/.test(op) ? op : quote(op));

const keyed = (key: string, value: string): string[] => (value ? [`${key}: ${quote(value)}`] : []);
const printOpsets = (opsets: ReadonlyMap<string, number>): string =>
  `[${[...opsets].map(([d, v]) => `${quote(d)} : ${v}`).join(', ')}]`;

function typeOf(value: Value): string | undefined {
  if (value.other) return printProto(value.other.proto);
  return value.dtype && printTensorType(value.dtype, value.shape);
}
function printValue(value: Value): string {
  const type = typeOf(value);
  return type === undefined ? printName(value.name) : `${type} ${printName(value.name)}`;
}

/**
 * An input with a default prints with its data where its declared shape is the data's, so that both fit in one place.
 */
const isListedWithData = (v: Value): boolean => v.data !== undefined && v.shape?.join() === v.data.dims.join();
const printInitializer = (value: Value, data: Tensor, options: PrintOptions): string =>
  `${printTensorType(data.dtype, data.dims)} ${printName(value.name)} = ${printData(data, options)}`;
const printData = (tensor: Tensor, options: PrintOptions): string =>
  tensor.size > (options.maxElements ?? Infinity) ? '{...}' : `{${literalsOf(tensor).join(', ')}}`;
const printTensor = (t: Tensor, options: PrintOptions): string =>
  `${typeName(t.dtype)}${t.dims.length ? `[${t.dims.join(',')}]` : ''}${t.name ? ` ${printName(t.name)}` : ''} ` +
  `${printData(t, options)}`;
const text = (s: string | Uint8Array): string => quote(typeof s === 'string' ? s : new TextDecoder().decode(s));

function printAttribute(name: string, attr: Attr, options: PrintOptions, indent: string): string {
  const type = attr.type === 'ref' || attr.type === 'opaque' ? attributeTypeName(attr.attrType) : attr.type;
  return `${printName(name)}${type === undefined ? '' : `: ${type}`} = ${printAttributeValue(attr, options, indent)}`;
}

/** Attributes are short; only lists that no exporter writes are cut where tensors are. */
const LONG_LIST = 1000;
const printList = <T>(
  list: readonly T[],
  print: (item: T) => string,
  { maxElements = Infinity }: PrintOptions,
): string =>
  `[${list.length > Math.max(maxElements, LONG_LIST) && maxElements < Infinity ? '...' : list.map(print).join(', ')}]`;

function printAttributeValue(attr: Attr, options: PrintOptions, indent: string): string {
  switch (attr.type) {
    case 'float':
      return printFloat(attr.value);
    case 'int':
      return String(attr.value);
    case 'string':
      return text(attr.value);
    case 'tensor':
      return printTensor(attr.value, options);
    case 'graph':
      return printGraph(attr.value, options, `${indent}  `);
    case 'floats':
      return printList(attr.value, printFloat, options);
    case 'ints':
      return printList(attr.value, String, options);
    case 'strings':
      return printList(attr.value, text, options);
    case 'tensors':
      return `[${attr.value.map((t) => printTensor(t, options)).join(', ')}]`;
    case 'graphs':
      return `[${attr.value.map((g) => printGraph(g, options, `${indent}  `)).join(', ')}]`;
    case 'ref':
      return `@${printName(attr.value)}`;
    case 'opaque': {
      // fields of AttributeProto
      const { tp, typeProtos } = (attr.value ?? {}) as { tp?: object; typeProtos?: readonly unknown[] };
      if (attr.attrType === 13) return (tp && printProto(tp)) ?? '...';
      return attr.attrType === 14 ? `[${(typeProtos ?? []).map((t) => printProto(t) ?? '...').join(', ')}]` : '...';
    }
    default:
      return attr satisfies never;
  }
}

function printFunction(f: FunctionDef, options: PrintOptions): string {
  const header = [
    `domain: ${quote(f.domain)}`,
    ...keyed('overload', f.overload),
    `opset_import: ${printOpsets(f.opsets)}`,
    ...keyed('doc_string', f.doc),
  ];
  const attributes = [
    ...f.attributes.map(printName),
    ...[...f.defaults].map(([name, a]) => printAttribute(name, a, options, '')),
  ];
  const body = printGraph(f.graph, options);
  const name = printName(f.graph.name);
  return (
    `<${header.join(', ')}>\n` +
    `${printName(f.name)}${attributes.length ? ` <${attributes.join(', ')}>` : ''}${body.slice(name.length)}`
  );
}
