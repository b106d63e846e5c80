/** The parse tree of the text syntax: names are not yet resolved, because nodes may come in any order. */
import { fail, type Where } from '../../base/errors.js';
import type { OtherType, Shape } from '../graph.js';
import type { Tensor } from '../tensor.js';
import { lex, numberOf, type Token } from './lex.js';
import { tensorOf } from './literal.js';
import {
  ATTRIBUTE_TYPES,
  attributeTypeName,
  dtypeOfName,
  isTypeName,
  OTHER_KEYWORDS,
  protoOf,
  type TextType,
} from './types.js';

export interface DeclarationTree {
  readonly name: string;
  readonly type: TextType | undefined;
  readonly data: Tensor | undefined;
  readonly where: Where;
}
export type SingleTree =
  | { readonly type: 'int'; readonly value: bigint }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'tensor'; readonly value: Tensor }
  | { readonly type: 'graph'; readonly value: GraphTree }
  | { readonly type: 'type_proto'; readonly value: object }
  | { readonly type: 'ref'; readonly value: string };
export interface AttributeTree {
  readonly name: string;
  readonly declared: string | undefined;
  readonly value: SingleTree | readonly SingleTree[];
  readonly where: Where;
}
export interface NodeTree {
  readonly label: string;
  readonly outputs: readonly string[];
  readonly inputs: readonly string[];
  readonly op: string;
  readonly domain: string;
  readonly overload: string;
  readonly attributes: readonly AttributeTree[];
  readonly where: Where;
}
export interface GraphTree {
  readonly name: string;
  readonly inputs: readonly DeclarationTree[];
  readonly outputs: readonly DeclarationTree[];
  readonly infos: readonly DeclarationTree[];
  readonly nodes: readonly NodeTree[];
  readonly where: Where;
}
export interface FunctionTree extends GraphTree {
  readonly header: Header;
  readonly attributes: readonly (string | AttributeTree)[];
}
export interface ModelTree {
  readonly header: Header;
  readonly graph: GraphTree;
  readonly functions: readonly FunctionTree[];
}
/** `< key: value, … >`; lists are of pairs. */
export type Header = ReadonlyMap<string, string | bigint | ReadonlyMap<string, string | bigint>>;

/** Subgraphs deeper than this are refused, so that hostile text cannot exhaust the stack. */
const MAX_DEPTH = 100;
const MODEL_KEYS = [
  'ir_version',
  'opset_import',
  'producer_name',
  'producer_version',
  'domain',
  'model_version',
  'doc_string',
  'metadata_props',
];
const FUNCTION_KEYS = ['domain', 'overload', 'opset_import', 'doc_string'];

/** Recursive-descent reader over tokens. Every method leaves the position after what it read; all throw GRAPH_TEXT. */
export class Syntax {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;
  constructor(text: string) {
    this.#tokens = lex(text);
  }

  model(): ModelTree {
    const header = this.#header(MODEL_KEYS);
    const graph = this.graph();
    const functions: FunctionTree[] = [];
    while (this.#peek().kind !== 'end') functions.push(this.#function());
    return { header, graph, functions };
  }

  graph(): GraphTree {
    if (++this.#depth > MAX_DEPTH) this.#wrong(`graphs nested at most ${MAX_DEPTH} deep`);
    const where = this.#where();
    const name = this.#name('a graph name');
    const inputs = this.#is('(') ? this.#declarations('(', ')') : [];
    this.#arrow();
    const outputs = this.#declarations('(', ')');
    const infos = this.#is('<') ? this.#declarations('<', '>') : [];
    const nodes = this.#nodes();
    this.#depth--;
    return { name, inputs, outputs, infos, nodes, where };
  }

  end(): void {
    if (this.#peek().kind !== 'end') this.#wrong('the end of the text');
  }

  #function(): FunctionTree {
    const where = this.#where();
    const header = this.#header(FUNCTION_KEYS);
    const name = this.#name('a function name');
    const attributes: (string | AttributeTree)[] = [];
    if (this.#take('<') && !this.#take('>')) {
      do {
        const at = this.#where();
        const attribute = this.#name('an attribute name');
        attributes.push(this.#is(':') || this.#is('=') ? this.#attributeAfter(attribute, at) : attribute);
      } while (this.#take(','));
      this.#expect('>');
    }
    const inputs = this.#declarations('(', ')');
    this.#arrow();
    const outputs = this.#declarations('(', ')');
    const infos = this.#is('<') ? this.#declarations('<', '>') : [];
    return { header, name, attributes, inputs, outputs, infos, nodes: this.#nodes(), where };
  }

  #header(allowed: readonly string[]): Header {
    const header = new Map<string, string | bigint | ReadonlyMap<string, string | bigint>>();
    if (!this.#take('<')) return header;
    do {
      const key = this.#peek();
      if (key.kind !== 'id' || !allowed.includes(key.text)) this.#wrong(`one of ${allowed.join(', ')}`);
      this.#at++;
      this.#expect(':');
      header.set(key.text, this.#take('[') ? this.#pairs() : this.#scalar());
    } while (this.#take(','));
    this.#expect('>');
    return header;
  }

  #pairs(): ReadonlyMap<string, string | bigint> {
    const pairs = new Map<string, string | bigint>();
    if (this.#take(']')) return pairs;
    do {
      const key = this.#peek();
      if (key.kind !== 'string') this.#wrong('a quoted key');
      this.#at++;
      this.#expect(':');
      pairs.set(key.text, this.#scalar());
    } while (this.#take(','));
    this.#expect(']');
    return pairs;
  }

  #scalar(): string | bigint {
    const token = this.#peek();
    if (token.kind !== 'string' && token.kind !== 'int') return this.#wrong('a quoted string or an integer');
    this.#at++;
    return token.kind === 'int' ? BigInt(token.text) : token.text;
  }

  #declarations(open: string, close: string): DeclarationTree[] {
    const found: DeclarationTree[] = [];
    this.#expect(open);
    if (this.#take(close)) return found;
    do {
      const where = this.#where();
      const type = this.#peek().kind === 'id' && isTypeName(this.#peek().text) ? this.#type() : undefined;
      const name = this.#name('a value name');
      const data = this.#take('=') ? this.#data(type, where) : undefined;
      found.push({ name, type, data, where });
    } while (this.#take(','));
    this.#expect(close);
    return found;
  }

  #type(): TextType {
    const word = this.#peek().text;
    const dtype = dtypeOfName(word);
    if (dtype) {
      this.#at++;
      return { dtype, shape: this.#shape() };
    }
    const kind = OTHER_KEYWORDS[word] ?? this.#wrong('a type');
    this.#at++;
    if (++this.#depth > MAX_DEPTH) this.#wrong(`types nested at most ${MAX_DEPTH} deep`);
    this.#expect('(');
    const proto = this.#otherType(kind);
    this.#expect(')');
    this.#depth--;
    return { other: { kind, proto } };
  }

  #otherType(kind: OtherType['kind']): object {
    switch (kind) {
      case 'sequence':
        return { sequenceType: { elemType: protoOf(this.#type()) } };
      case 'optional':
        return { optionalType: { elemType: protoOf(this.#type()) } };
      case 'map': {
        const key = protoOf(this.#type()) as { tensorType?: { elemType: number } }; // protoOf of a plain type
        this.#expect(',');
        return {
          mapType: {
            keyType: key.tensorType?.elemType ?? this.#wrong('a plain type as the key of a map'),
            valueType: protoOf(this.#type()),
          },
        };
      }
      case 'sparse': {
        const inner = protoOf(this.#type()) as { tensorType?: object }; // protoOf of a tensor type
        return { sparseTensorType: inner.tensorType ?? this.#wrong('a tensor type') };
      }
      case 'opaque': {
        const names: string[] = [];
        if (!this.#is(')'))
          do names.push(this.#qualified());
          while (this.#take(','));
        const [domain, name] = names.length > 1 ? names : ['', names[0] ?? ''];
        return { opaqueType: { ...(domain ? { domain } : {}), ...(name ? { name } : {}) } };
      }
      default:
        return kind satisfies never;
    }
  }

  /** `` → scalar, `[]` → unknown rank, `[2,N,?]` → known rank. */
  #shape(): Shape | undefined {
    if (!this.#take('[')) return [];
    if (this.#take(']')) return undefined;
    const dims: (number | string | null)[] = [];
    do {
      const token = this.#peek();
      if (this.#take('?')) {
        dims.push(null);
        continue;
      }
      if (token.kind === 'int') {
        const size = Number(token.text);
        dims.push(Number.isSafeInteger(size) && size >= 0 ? size : this.#wrong('a size of 0 or more'));
        this.#at++;
      } else dims.push(this.#name('a size, a symbol or ?'));
    } while (this.#take(','));
    this.#expect(']');
    return dims;
  }

  /** `{1, 2, …}` for a concrete tensor type. */
  #data(type: TextType | undefined, where: Where): Tensor {
    if (!type?.dtype) return fail('GRAPH_TEXT', 'data need a tensor type before the name', where);
    const dims =
      type.shape?.map((d) =>
        typeof d === 'number' ? d : fail('GRAPH_TEXT', 'data need sizes that are numbers', where),
      ) ?? fail('GRAPH_TEXT', 'data need a known shape', where);
    if (this.#is('[')) this.#wrong('data in braces (external data cannot be read from text)');
    this.#expect('{');
    const literals: Token[] = [];
    if (this.#is('.')) this.#wrong('data, but they were left out when this text was printed,');
    if (!this.#take('}')) {
      do {
        literals.push(this.#peek());
        this.#at++;
      } while (this.#take(','));
      this.#expect('}');
    }
    return tensorOf(type.dtype, dims, literals, where);
  }

  #nodes(): NodeTree[] {
    const nodes: NodeTree[] = [];
    this.#expect('{');
    while (!this.#take('}')) nodes.push(this.#node());
    return nodes;
  }

  #node(): NodeTree {
    const where = this.#where();
    let label = '';
    if (this.#take('[')) {
      if (!this.#is(']')) label = this.#name('a node name');
      this.#expect(']');
    }
    const outputs = this.#names('=');
    this.#expect('=');
    const qualified: string[] = [this.#name('an op type')];
    while (this.#take('.')) qualified.push(this.#name('an op type'));
    const op = qualified.pop()!; // at least the first
    const overload = this.#take(':') ? this.#name('an overload') : '';
    let attributes = this.#attributes();
    this.#expect('(');
    const inputs = this.#names(')');
    this.#expect(')');
    if (attributes.length === 0) attributes = this.#attributes();
    return { label, outputs, inputs, op, domain: qualified.join('.'), overload, attributes, where };
  }

  /** Comma-separated names up to `close`; nothing between commas is an omitted name, a trailing comma adds none. */
  #names(close: string): string[] {
    const names: string[] = [];
    while (!this.#is(close)) {
      names.push(this.#is(',') ? '' : this.#name('a value name'));
      if (!this.#take(',')) break;
    }
    return names;
  }

  #attributes(): AttributeTree[] {
    const found: AttributeTree[] = [];
    if (!this.#take('<') || this.#take('>')) return found;
    do {
      const where = this.#where();
      found.push(this.#attributeAfter(this.#name('an attribute name'), where));
    } while (this.#take(','));
    this.#expect('>');
    return found;
  }

  #attributeAfter(name: string, where: Where): AttributeTree {
    let declared: string | undefined;
    if (this.#take(':')) {
      declared = this.#peek().text;
      if (this.#peek().kind !== 'id' || !Object.hasOwn(ATTRIBUTE_TYPES, declared))
        this.#wrong(`an attribute type (${Object.keys(ATTRIBUTE_TYPES).join(', ')})`);
      this.#at++;
    }
    this.#expect('=');
    if (!this.#take('[')) return { name, declared, value: this.#single(declared), where };
    const values: SingleTree[] = [];
    const code = ATTRIBUTE_TYPES[declared ?? ''];
    // FLOATS is FLOAT + 5; the list types of type protos follow theirs by 1.
    const single = code === undefined ? undefined : attributeTypeName(code <= 10 ? code - 5 : code - 1);
    if (!this.#take(']')) {
      do values.push(this.#single(single));
      while (this.#take(','));
      this.#expect(']');
    }
    return { name, declared, value: values, where };
  }

  #single(declared: string | undefined): SingleTree {
    const token = this.#peek();
    if (this.#take('@')) return { type: 'ref', value: this.#name('an attribute name') };
    if (token.kind === 'int' && declared !== 'float') {
      this.#at++;
      return { type: 'int', value: BigInt(token.text) };
    }
    if (token.kind === 'string' && this.#tokens[this.#at + 1]?.text !== '(') {
      this.#at++;
      return { type: 'string', value: token.text };
    }
    const number = numberOf(token);
    if (number !== undefined) {
      this.#at++;
      return { type: 'float', value: Math.fround(number) };
    }
    if (token.kind === 'id' && isTypeName(token.text)) return this.#typed();
    if (token.kind === 'id' || token.kind === 'string') return { type: 'graph', value: this.graph() };
    return this.#wrong('an attribute value');
  }

  /** A tensor constant, or a type where no data follow. */
  #typed(): SingleTree {
    const where = this.#where();
    const type = this.#type();
    const next = this.#peek();
    if (!this.#is('{') && !this.#is('=') && next.kind !== 'id' && next.kind !== 'string')
      return { type: 'type_proto', value: protoOf(type) };
    const name = next.kind === 'id' || next.kind === 'string' ? this.#name('a tensor name') : '';
    this.#take('=');
    const tensor = this.#data(type, where);
    tensor.name = name;
    return { type: 'tensor', value: tensor };
  }

  #qualified(): string {
    let name = this.#name('a name');
    while (this.#take('.')) name += `.${this.#name('a name')}`;
    return name;
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? this.#tokens[this.#tokens.length - 1]!;
  } // 'end' is always there
  #where(): Where {
    const { line, column } = this.#peek();
    return { line, column };
  }
  #is(punctuation: string): boolean {
    const t = this.#peek();
    return t.kind === 'punct' && t.text === punctuation;
  }
  #take(punctuation: string): boolean {
    const found = this.#is(punctuation);
    if (found) this.#at++;
    return found;
  }
  #expect(punctuation: string): void {
    if (!this.#take(punctuation)) this.#wrong(`'${punctuation}'`);
  }
  #arrow(): void {
    if (!this.#is('=')) this.#wrong("'=>'");
    this.#at++;
    if (!this.#take('>')) this.#wrong("'=>'");
  }
  #name(what: string): string {
    const token = this.#peek();
    if (token.kind !== 'id' && token.kind !== 'string') this.#wrong(what);
    this.#at++;
    return token.text;
  }
  #wrong(expected: string): never {
    return fail('GRAPH_TEXT', `expected ${expected}, but found '${this.#peek().text}'`, this.#where());
  }
}
