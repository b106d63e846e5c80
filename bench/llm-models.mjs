/**
 * Llama-like decoders with random weights, as files of any size: `node bench/llm-models.mjs OUT.onnx [--size 0.5b]`.
 * Options: --form plain (standard operators, opset 21) or gqa (com.microsoft operators, opset 17), --dtype float32 or
 * float16, --tied (the head reads the embedding), --sparse (a data file of holes: zeros that take no disk), --seed 0.
 * Sizes: tiny (1.3 M parameters), 0.1b, 0.5b, 1.8b, 7b. Weights are made piece by piece, so that memory stays flat.
 */
import { ftruncateSync, closeSync, openSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { numberToFloat16 } from '../dist/ir/convert.js';
import { Graph, Value } from '../dist/ir/graph.js';
import { createModel } from '../dist/ir/model.js';
import { Tensor } from '../dist/ir/tensor.js';
import { encodeModel } from '../dist/onnx/encode.js';
import { saveModel } from '../dist/onnx/files.js';
import { GraphBuilder } from '../dist/rewrite/builder.js';

/** Those of known models: hidden size, layers, heads and those of keys, size of a head, inner size, vocabulary. */
export const SIZES = {
  tiny: { hidden: 128, layers: 2, heads: 4, kv: 2, head: 32, inner: 384, vocabulary: 4096 },
  '0.1b': { hidden: 576, layers: 30, heads: 9, kv: 3, head: 64, inner: 1536, vocabulary: 49152 },
  '0.5b': { hidden: 896, layers: 24, heads: 14, kv: 2, head: 64, inner: 4864, vocabulary: 151936 },
  '1.8b': { hidden: 1536, layers: 28, heads: 12, kv: 2, head: 128, inner: 8960, vocabulary: 151936 },
  '7b': { hidden: 4096, layers: 32, heads: 32, kv: 8, head: 128, inner: 14336, vocabulary: 32000 },
};
const PIECE = 1 << 20;
const POSITIONS = 4096;

/** Normal numbers of deviation 1/√32 or so, by 16 random bits. */
const table = (() => {
  const values = new Float32Array(65536);
  let at = 0;
  for (let i = 0; i < values.length; i++) {
    // the inverse of the normal distribution by bisection of its logistic approximation is good enough for weights
    const p = (i + 0.5) / values.length;
    values[(at = (at + 40503) & 65535)] = Math.log(p / (1 - p)) / 1.702;
  }
  return values;
})();

/** A constant of random numbers that are made when they are asked for: the same each time. */
export function randomTensor(dtype, dims, deviation, seed) {
  const size = dims.reduce((n, d) => n * d, 1);
  const width = dtype === 'float16' ? 2 : 4;
  const numbers = dtype === 'float16' ? new Uint16Array(65536) : new Float32Array(65536);
  table.forEach((v, i) => {
    numbers[i] = dtype === 'float16' ? numberToFloat16(v * deviation) : v * deviation;
  });
  function* pieces() {
    let state = (seed * 2654435761) >>> 0 || 1;
    for (let from = 0; from < size; from += PIECE) {
      const out = new numbers.constructor(Math.min(PIECE, size - from));
      for (let i = 0; i < out.length; i++) {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        out[i] = numbers[(state >>> 8) & 65535];
      }
      yield new Uint8Array(out.buffer);
    }
  }
  const read = () => {
    const whole = new Uint8Array(size * width);
    let at = 0;
    for (const piece of pieces()) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  };
  return new Tensor(dtype, dims, { byteLength: size * width, read, pieces });
}

/** The model; its weights are not made yet. */
export function decoder({ size = 'tiny', form = 'plain', dtype = 'float32', tied = false, seed = 0, sizes } = {}) {
  const s = sizes ?? SIZES[size];
  const model = createModel(new Graph(), form === 'gqa' ? 17 : 21, 10);
  if (form === 'gqa') model.opsets.set('com.microsoft', 1);
  const b = new GraphBuilder(model);
  let count = seed * 1000;
  const float = (values, dims) =>
    dtype === 'float16'
      ? new Tensor('float16', dims, new Uint8Array(Uint16Array.from(values, numberToFloat16).buffer))
      : Tensor.f32(values, dims);
  const known = new Map();
  const once = (name, tensor) => {
    if (!known.has(name)) known.set(name, b.graph.addInitializer(new Value(name), tensor()));
    return known.get(name);
  };
  const ints = (...v) => once(`ints ${v.join(' ')}`, () => Tensor.i64(v));
  const scalar = (v) => once(`scalar ${v}`, () => float([v], []));
  const weight = (name, dims, deviation) =>
    b.graph.addInitializer(new Value(name), randomTensor(dtype, dims, deviation, ++count));
  const op = (kind, inputs, name, attrs = {}, domain = '') => b.op(kind, inputs, { name, attrs, domain });
  const ones = (name) => b.graph.addInitializer(new Value(name), float(new Float32Array(s.hidden).fill(1), [s.hidden]));
  const input = (name, type, shape) => b.input(name, type, shape);
  const batch = 'batch_size';
  const ids = input('input_ids', 'int64', [batch, 'sequence_length']);
  const mask = input('attention_mask', 'int64', [batch, 'total_sequence_length']);
  const positions = form === 'plain' ? input('position_ids', 'int64', [batch, 'sequence_length']) : undefined;
  const pasts = Array.from({ length: s.layers }, (_, l) =>
    ['key', 'value'].map((k) =>
      input(`past_key_values.${l}.${k}`, dtype, [batch, s.kv, 'past_sequence_length', s.head]),
    ),
  );
  const half = s.head / 2;
  const angles = (f) =>
    Float32Array.from({ length: POSITIONS * half }, (_, i) => f(Math.floor(i / half) / 10000 ** ((i % half) / half)));
  const [cos, sin] = [Math.cos, Math.sin].map((f, i) =>
    b.graph.addInitializer(new Value(['cos_cache', 'sin_cache'][i]), float(angles(f), [POSITIONS, half])),
  );
  const embedding = weight('model.embed_tokens.weight', [s.vocabulary, s.hidden], 0.5);
  const product = (x, name, rows, columns) =>
    op('MatMul', [x, weight(`${name}.weight`, [columns, rows], 1 / Math.sqrt(columns))], `/${name}/MatMul`);
  const presents = [];
  let x = op('Gather', [embedding, ids], '/model/embed_tokens/Gather');
  const shared = form === 'plain' ? plainShared() : gqaShared();
  for (let l = 0; l < s.layers; l++) x = layer(x, l);
  const last = norm(x, 'model.norm');
  const logits = tied
    ? op('MatMul', [last, op('Transpose', [embedding], '/lm_head/Transpose', { perm: [1, 0] })], '/lm_head/MatMul')
    : product(last, 'lm_head', s.vocabulary, s.hidden);
  logits.name = 'logits';
  for (const y of [logits, ...presents]) b.graph.addOutput(y);
  return model;

  function norm(v, name) {
    if (form === 'gqa')
      return op('SimplifiedLayerNormalization', [v, ones(`${name}.weight`)], `/${name}`, {
        axis: -1,
        epsilon: 1e-5,
        stash_type: 1,
      });
    const mean = op('ReduceMean', [op('Pow', [v, scalar(2)], `/${name}/Pow`), ints(-1)], `/${name}/ReduceMean`);
    const root = op('Sqrt', [op('Add', [mean, scalar(1e-5)], `/${name}/Add`)], `/${name}/Sqrt`);
    return op('Mul', [op('Div', [v, root], `/${name}/Div`), ones(`${name}.weight`)], `/${name}/Mul`);
  }
  function layer(v, l) {
    const name = `model.layers.${l}`;
    const n = norm(v, `${name}.input_layernorm`);
    const [q, k, w] = [
      ['q', s.heads],
      ['k', s.kv],
      ['v', s.kv],
    ].map(([which, heads]) => product(n, `${name}.self_attn.${which}_proj`, heads * s.head, s.hidden));
    const mixed = form === 'gqa' ? grouped(q, k, w, l) : attention(q, k, w, l);
    const sum = op('Add', [v, product(mixed, `${name}.self_attn.o_proj`, s.hidden, s.heads * s.head)], `/${name}/add`);
    const m = norm(sum, `${name}.post_attention_layernorm`);
    const gate = product(m, `${name}.mlp.gate_proj`, s.inner, s.hidden);
    const up = product(m, `${name}.mlp.up_proj`, s.inner, s.hidden);
    const silu = op('Mul', [gate, op('Sigmoid', [gate], `/${name}/mlp/Sigmoid`)], `/${name}/mlp/silu`);
    const inner = op('Mul', [silu, up], `/${name}/mlp/Mul`);
    return op('Add', [sum, product(inner, `${name}.mlp.down_proj`, s.hidden, s.inner)], `/${name}/add_1`);
  }
  function gqaShared() {
    const sum = op('Sub', [op('ReduceSum', [mask, ints(1)], '/mask/ReduceSum', { keepdims: 1 }), ints(1)], '/mask/Sub');
    const total = op(
      'Gather',
      [op('Shape', [mask], '/mask/Shape'), once('one', () => Tensor.i64([1], []))],
      '/mask/Gather',
    );
    return [op('Cast', [sum], '/mask/seqlens', { to: 6 }), op('Cast', [total], '/mask/total', { to: 6 })];
  }
  function grouped(q, k, w, l) {
    const node = b.node('GroupQueryAttention', [q, k, w, ...pasts[l], ...shared, cos, sin], 3, {
      domain: 'com.microsoft',
      name: `/model/layers.${l}/attn/GroupQueryAttention`,
      outputs: [`/model/layers.${l}/attn/output_0`, `present.${l}.key`, `present.${l}.value`],
      attrs: {
        num_heads: s.heads,
        kv_num_heads: s.kv,
        do_rotary: 1,
        rotary_interleaved: 0,
        scale: 1 / Math.sqrt(s.head),
      },
    });
    presents.push(...node.outputs.slice(1));
    return node.outputs[0];
  }
  function plainShared() {
    const sizeOf = (v, axis) => op('Shape', [v], '/shape', { start: axis, end: axis + 1 });
    const flat = (v) => op('Squeeze', [v, ints(0)], '/size');
    const [length, total] = [sizeOf(ids, 1), sizeOf(mask, 1)];
    const zero = once('zero', () => Tensor.i64([0], []));
    const step = once('one', () => Tensor.i64([1], []));
    const rows = op(
      'Unsqueeze',
      [op('Range', [flat(op('Sub', [total, length], '/past')), flat(total), step], '/rows'), ints(1)],
      '/rows_',
    );
    const columns = op('Unsqueeze', [op('Range', [zero, flat(total), step], '/columns'), ints(0)], '/columns_');
    const seen = op('Cast', [op('Unsqueeze', [mask, ints(1, 2)], '/mask_')], '/mask_bool', { to: 9 });
    const visible = op('And', [op('LessOrEqual', [columns, rows], '/causal'), seen], '/visible');
    const bias = op('Where', [visible, scalar(0), scalar(-1e4)], '/model/mask/Where');
    const turn = (cache) => op('Unsqueeze', [op('Gather', [cache, positions], '/angles'), ints(1)], '/angles_');
    return { bias, total, rowsOf: sizeOf(ids, 0), cos: turn(cos), sin: turn(sin) };
  }
  function attention(q, k, w, l) {
    const name = `/model/layers.${l}/self_attn`;
    const split = (v, heads) =>
      op('Transpose', [op('Reshape', [v, ints(0, -1, heads, s.head)], `${name}/Reshape`)], `${name}/Transpose`, {
        perm: [0, 2, 1, 3],
      });
    const rotate = (v) => {
      const [a, z] = b.node('Split', [v], 2, {
        name: `${name}/rope/Split`,
        attrs: { axis: -1, num_outputs: 2 },
      }).outputs;
      const mul = (p, r) => op('Mul', [p, r], `${name}/rope/Mul`);
      const first = op('Sub', [mul(a, shared.cos), mul(z, shared.sin)], `${name}/rope/Sub`);
      const second = op('Add', [mul(z, shared.cos), mul(a, shared.sin)], `${name}/rope/Add`);
      return op('Concat', [first, second], `${name}/rope/Concat`, { axis: -1 });
    };
    const cached = (v, past, which) => {
      const y = op('Concat', [past, v], `${name}/${which}`, { axis: 2 });
      y.name = `present.${l}.${which}`;
      presents.push(y);
      return y;
    };
    const repeated = (v) => {
      const to = op(
        'Concat',
        [shared.rowsOf, ints(s.kv), ints(s.heads / s.kv), shared.total, ints(s.head)],
        `${name}/to`,
        { axis: 0 },
      );
      const wide = op('Expand', [op('Unsqueeze', [v, ints(2)], `${name}/wide`), to], `${name}/Expand`);
      const flat = op('Concat', [shared.rowsOf, ints(s.heads), shared.total, ints(s.head)], `${name}/flat`, {
        axis: 0,
      });
      return op('Reshape', [wide, flat], `${name}/repeat`);
    };
    const keys = repeated(cached(rotate(split(k, s.kv)), pasts[l][0], 'key'));
    const values = repeated(cached(split(w, s.kv), pasts[l][1], 'value'));
    const scaled = op('Mul', [rotate(split(q, s.heads)), scalar(1 / Math.sqrt(s.head))], `${name}/scale`);
    const turned = op('Transpose', [keys], `${name}/turned`, { perm: [0, 1, 3, 2] });
    const scores = op('Add', [op('MatMul', [scaled, turned], `${name}/qk/MatMul`), shared.bias], `${name}/Add`);
    const mixed = op('MatMul', [op('Softmax', [scores], `${name}/Softmax`, { axis: -1 }), values], `${name}/av/MatMul`);
    return op(
      'Reshape',
      [op('Transpose', [mixed], `${name}/back`, { perm: [0, 2, 1, 3] }), ints(0, -1, s.heads * s.head)],
      `${name}/joined`,
    );
  }
}

/** Writes a model whose large tensors are holes of a data file: zeros that take no room on a disk. */
export function saveSparse(model, file) {
  const location = `${path.basename(file)}.data`;
  const places = new Map();
  let at = 0;
  for (const { data } of model.graph.initializers) {
    if (data.byteLength < 1 << 20) continue;
    places.set(data, { location, offset: at, length: data.byteLength });
    at = Math.ceil((at + data.byteLength) / 4096) * 4096;
  }
  const fd = openSync(path.join(path.dirname(file), location), 'w');
  ftruncateSync(fd, at);
  closeSync(fd);
  writeFileSync(file, encodeModel(model, { places }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      size: { type: 'string', default: 'tiny' },
      form: { type: 'string', default: 'plain' },
      dtype: { type: 'string', default: 'float32' },
      tied: { type: 'boolean', default: false },
      sparse: { type: 'boolean', default: false },
      seed: { type: 'string', default: '0' },
    },
  });
  const [file] = positionals;
  if (!file || !SIZES[values.size])
    throw new Error(`node bench/llm-models.mjs OUT.onnx --size ${Object.keys(SIZES).join('|')}`);
  const model = decoder({ ...values, seed: Number(values.seed) });
  if (values.sparse) saveSparse(model, file);
  else saveModel(model, file, { externalData: 'always' });
}
