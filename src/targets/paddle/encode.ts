/**
 * A program and its parameters as `.pdmodel` and `.pdiparams`. source: paddle/fluid/framework/framework.proto (messages
 * and numbers below), SerializeToStream in paddle/phi/core/framework/dense_tensor_serialize.cc; program version 0
 */
import protobuf from 'protobufjs/light.js';
import { named } from '../../base/lists.js';
import { TYPES, type Attribute, type Operator, type PaddleProgram, type Variable } from './program.js';

const field = (type: string, id: number, rule?: 'repeated' | 'required'): object => ({
  type,
  id,
  ...(rule ? { rule } : {}),
  ...(rule === 'repeated' ? { options: { packed: false } } : {}),
});
const root = protobuf.Root.fromJSON({
  nested: {
    Version: { fields: { version: field('int64', 1) } },
    TensorDesc: { fields: { dataType: field('int32', 1, 'required'), dims: field('int64', 2, 'repeated') } },
    DenseTensorDesc: { fields: { tensor: field('TensorDesc', 1, 'required'), lodLevel: field('int32', 2) } },
    VarType: { fields: { type: field('int32', 1, 'required'), denseTensor: field('DenseTensorDesc', 3) } },
    VarDesc: {
      fields: {
        name: field('string', 1, 'required'),
        type: field('VarType', 2, 'required'),
        persistable: field('bool', 3),
        needCheckFeed: field('bool', 4),
        isParameter: field('bool', 5),
      },
    },
    Attr: {
      fields: {
        name: field('string', 1, 'required'),
        type: field('int32', 2, 'required'),
        i: field('int32', 3),
        f: field('float', 4),
        s: field('string', 5),
        ints: field('int32', 6, 'repeated'),
        b: field('bool', 10),
      },
    },
    Var: { fields: { parameter: field('string', 1, 'required'), arguments: field('string', 2, 'repeated') } },
    OpDesc: {
      fields: {
        inputs: field('Var', 1, 'repeated'),
        outputs: field('Var', 2, 'repeated'),
        type: field('string', 3, 'required'),
        attrs: field('Attr', 4, 'repeated'),
      },
    },
    BlockDesc: {
      fields: {
        idx: field('int32', 1, 'required'),
        parentIdx: field('int32', 2, 'required'),
        vars: field('VarDesc', 3, 'repeated'),
        ops: field('OpDesc', 4, 'repeated'),
        forwardBlockIdx: field('int32', 5),
      },
    },
    ProgramDesc: { fields: { blocks: field('BlockDesc', 1, 'repeated'), version: field('Version', 4) } },
  },
} as protobuf.INamespace);
const [DENSE_TENSOR, FEED_LIST, FETCH_LIST] = [7, 9, 10];

/** `.pdmodel`: one block, with the operators that take inputs and hand results over. */
export function encodeProgram(program: PaddleProgram): Uint8Array {
  const lists = [
    { name: 'feed', type: { type: FEED_LIST }, persistable: true },
    { name: 'fetch', type: { type: FETCH_LIST }, persistable: true },
  ];
  const feeds = program.inputs.map((name, i) => operatorOf('feed', { X: ['feed'] }, { Out: [name] }, { col: i }));
  const fetches = program.outputs.map((name, i) => operatorOf('fetch', { X: [name] }, { Out: ['fetch'] }, { col: i }));
  const ops = [
    ...feeds,
    ...program.operators.map((o) => operatorOf(o.type, o.inputs, o.outputs, o.attributes)),
    ...fetches,
  ];
  const vars = [...lists, ...program.variables.map(variableOf)];
  const type = root.lookupType('ProgramDesc');
  const blocks = [{ idx: 0, parentIdx: -1, vars, ops, forwardBlockIdx: -1 }];
  return type.encode(type.fromObject({ blocks, version: { version: 0 } })).finish();
}

const variableOf = ({ name, type, dims, role }: Variable): object => ({
  name,
  type: { type: DENSE_TENSOR, denseTensor: { tensor: { dataType: TYPES[type], dims }, lodLevel: 0 } },
  persistable: role === 'parameter',
  ...(role === 'input' ? { needCheckFeed: true } : {}),
  ...(role === 'parameter' ? { isParameter: true } : {}),
});

function operatorOf(
  type: string,
  inputs: Operator['inputs'],
  outputs: Operator['outputs'],
  attributes: Operator['attributes'],
): object {
  const slots = (o: Operator['inputs']): object[] =>
    Object.entries(o).map(([parameter, names]) => ({ parameter, arguments: names }));
  const attrs = Object.entries(attributes).map(([name, value]) => ({ name, ...attributeOf(value) }));
  return { type, inputs: slots(inputs), outputs: slots(outputs), attrs };
}

/** Types of attributes by their numbers. */
function attributeOf(value: Attribute): object {
  if (typeof value === 'number') return { type: 0, i: value };
  if (typeof value === 'string') return { type: 2, s: value };
  if (typeof value === 'boolean') return { type: 6, b: value };
  return 'float' in value ? { type: 1, f: value.float } : { type: 3, ints: value };
}

/** `.pdiparams`: each parameter with its description, by names in order. */
export function encodeParameters({ parameters }: PaddleProgram): Uint8Array {
  const type = root.lookupType('TensorDesc');
  const pieces = [...parameters.keys()].sort().flatMap((name) => {
    const { type: element, dims, data } = named(parameters, name);
    const description = type.encode(type.fromObject({ dataType: TYPES[element], dims })).finish();
    const head = Buffer.alloc(20); // version 0, no lengths of sequences, version 0, size
    head.writeInt32LE(description.length, 16);
    return [head, description, data];
  });
  return Buffer.concat(pieces);
}
