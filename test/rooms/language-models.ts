/**
 * Language models with random weights in the shapes that exporters give real ones: BERT, pairs as of T5 and Whisper,
 * and a merged decoder, whose branches of an If compute with and without a cache.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { parseModel } from '../../src/ir/text/parse.js';
import { saveModel } from '../../src/onnx/files.js';

/** Ids of the vocabulary, width, heads, the width of a head and of the inner layer, and layers. */
const [V, D, H, W, F, LAYERS] = [16, 64, 4, 16, 128, 2];
const HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n';

function write(file: string, text: string): string {
  mkdirSync(path.dirname(file), { recursive: true });
  saveModel(parseModel(`${HEADER}${text}`, { randomInitializers: 5 }), file);
  return file;
}

const CONSTANTS =
  `int64[4] heads = {0, 0, ${H}, ${W}}, int64[3] flat = {0, 0, ${D}}, int64[1] a1 = {1}, int64[2] a12 = {1, 2}, ` +
  `float one = {1.0}, float far = {-10000.0}, float root = {${1 / Math.sqrt(W)}}, int64[1] i0 = {0}, int64[1] i1 = {1}, ` +
  'int64[1] i2 = {2}, int64 z = {0}, int64 step = {1}';
const weightsOf = (p: string, crossed: boolean): string =>
  ['q', 'k', 'v', 'o', ...(crossed ? ['cq', 'ck', 'cv', 'co'] : [])]
    .map((w) => `float[${D},${D}] ${p}${w}`)
    .join(', ') +
  `, float[${D},${F}] ${p}up, float[${F},${D}] ${p}down, float[${D}] ${p}n1, float[${D}] ${p}n2, float[${D}] ${p}n3`;

/** [batch, tokens, width] by heads: [batch, heads, tokens, size]. */
const split = (y: string, x: string): string =>
  `${y}_r = Reshape(${x}, heads) ${y} = Transpose<perm = [0, 2, 1, 3]>(${y}_r)\n`;
/** softmax(q · kᵀ + mask) · v, projected and added to x. */
const attend = (y: string, x: string, q: string, k: string, v: string, mask: string, o: string): string =>
  `${y}_kt = Transpose<perm = [0, 1, 3, 2]>(${k}) ${y}_s = MatMul(${q}, ${y}_kt) ${y}_t = Mul(${y}_s, root)
   ${y}_m = Add(${y}_t, ${mask}) ${y}_p = Softmax<axis = -1>(${y}_m) ${y}_c = MatMul(${y}_p, ${v})
   ${y}_b = Transpose<perm = [0, 2, 1, 3]>(${y}_c) ${y}_f = Reshape(${y}_b, flat) ${y}_o = MatMul(${y}_f, ${o})
   ${y} = Add(${x}, ${y}_o)\n`;
const norm = (y: string, x: string, w: string): string => `${y} = LayerNormalization<axis = -1>(${x}, ${w})\n`;
const feedForward = (y: string, x: string, p: string): string =>
  `${norm(`${y}_n`, x, `${p}n3`)} ${y}_u = MatMul(${y}_n, ${p}up) ${y}_r = Relu(${y}_u) ${y}_d = MatMul(${y}_r, ${p}down)
   ${y} = Add(${x}, ${y}_d)\n`;
/** A mask of ones and zeros as numbers to add to scores, [batch, 1, 1, places]. */
const padding = (y: string, mask: string): string =>
  `${y}_f = Cast<to = 1>(${mask}) ${y}_u = Unsqueeze(${y}_f, a12) ${y}_n = Sub(one, ${y}_u) ${y} = Mul(${y}_n, far)\n`;
const encoderLayers = (x: string, mask: string): string =>
  Array.from({ length: LAYERS }, (_, i) => {
    const [p, from, to] = [`e${i}_`, i ? `x${i}` : x, `x${i + 1}`];
    return (
      norm(`${p}h`, from, `${p}n1`) +
      ['q', 'k', 'v'].map((w) => `${p}${w}p = MatMul(${p}h, ${p}${w})\n${split(`${p}${w}h`, `${p}${w}p`)}`).join('') +
      attend(`${p}a`, from, `${p}qh`, `${p}kh`, `${p}vh`, mask, `${p}o`) +
      feedForward(to, `${p}a`, p)
    );
  }).join('');
const encoderWeights = Array.from({ length: LAYERS }, (_, i) => weightsOf(`e${i}_`, false)).join(', ');

/** Inputs of the last layer's states and scores of a masked token. */
export const bert = (dir: string): string =>
  write(
    path.join(dir, 'bert.onnx'),
    `g (int64[batch,sequence] input_ids, int64[batch,sequence] attention_mask, int64[batch,sequence] token_type_ids)
      => (float[batch,sequence,${D}] last_hidden_state)
      <${CONSTANTS}, float[${V},${D}] table, float[2,${D}] types, ${encoderWeights}> {
      t = Gather(table, input_ids) s = Gather(types, token_type_ids) e = Add(t, s)
      ${padding('m', 'attention_mask')} ${encoderLayers('e', 'm')} last_hidden_state = Identity(x${LAYERS}) }`,
  );

/** The encoder of a text: what T5's and BART's export gives. */
export const textEncoder = (dir: string): string =>
  write(
    path.join(dir, 'encoder_model.onnx'),
    `g (int64[batch,encoder_sequence] input_ids, int64[batch,encoder_sequence] attention_mask)
      => (float[batch,encoder_sequence,${D}] last_hidden_state) <${CONSTANTS}, float[${V},${D}] table, ${encoderWeights}> {
      e = Gather(table, input_ids) ${padding('m', 'attention_mask')} ${encoderLayers('e', 'm')}
      last_hidden_state = Identity(x${LAYERS}) }`,
  );

/** Features of a sound the number of frames of a model, halved by a convolution, as Whisper's encoder does. */
export const soundEncoder = (dir: string, frames = 20): string =>
  write(
    path.join(dir, 'whisper_encoder.onnx'),
    `g (float[batch,8,${frames}] input_features) => (float[batch,${frames / 2},${D}] last_hidden_state)
      <${CONSTANTS}, float[${D},8,3] c1, float[${D},${D},3] c2, float none = {0.0}, ${encoderWeights}> {
      f = Conv<pads = [1, 1]>(input_features, c1) g1 = Relu(f) h = Conv<pads = [1, 1], strides = [2]>(g1, c2) r = Relu(h)
      e = Transpose<perm = [0, 2, 1]>(r) ${encoderLayers('e', 'none')} last_hidden_state = Identity(x${LAYERS}) }`,
  );

const kv = ['key', 'value'] as const;
const pasts = (of: 'decoder' | 'encoder'): string[] =>
  Array.from({ length: LAYERS }, (_, i) => kv.map((x) => `${i}_${of}_${x}`)).flat();

/** Decoder layers: self attention over a past, and attention to the encoder, of whose keys the cache may tell. */
function decoderLayers(cached: boolean): string {
  return (
    // a token sees those of the past and those before it
    `past_shape = Shape(past_key_values_0_decoder_key) before = Gather(past_shape, i2) before0 = Squeeze(before)
     ids_shape = Shape(input_ids) now = Gather(ids_shape, i1) now0 = Squeeze(now) total = Add(before0, now0)
     row0 = Range(z, now0, step) row1 = Add(row0, before0) rows = Unsqueeze(row1, a1) columns = Range(z, total, step)
     later = Greater(columns, rows) later_f = Cast<to = 1>(later) causal = Mul(later_f, far)
     e = Gather(table, input_ids)
     ${padding('em', 'encoder_attention_mask')}` +
    Array.from({ length: LAYERS }, (_, i) => {
      const [p, from, to] = [`d${i}_`, i ? `x${i}` : 'e', `x${i + 1}`];
      const present = (of: string, x: string): string => `present_${i}_${of}_${x}`;
      return (
        norm(`${p}h`, from, `${p}n1`) +
        ['q', 'k', 'v'].map((w) => `${p}${w}p = MatMul(${p}h, ${p}${w})\n${split(`${p}${w}h`, `${p}${w}p`)}`).join('') +
        kv
          .map(
            (x, j) =>
              `${present('decoder', x)} = Concat<axis = 2>(past_key_values_${i}_decoder_${x}, ${p}${j ? 'v' : 'k'}h)\n`,
          )
          .join('') +
        attend(`${p}a`, from, `${p}qh`, present('decoder', 'key'), present('decoder', 'value'), 'causal', `${p}o`) +
        norm(`${p}g`, `${p}a`, `${p}n2`) +
        `${p}cqp = MatMul(${p}g, ${p}cq)\n${split(`${p}cqh`, `${p}cqp`)}` +
        kv
          .map((x, j) => {
            const w = j ? 'cv' : 'ck';
            if (cached) return `${present('encoder', x)} = Identity(past_key_values_${i}_encoder_${x})\n`;
            return (
              `${p}${w}p = MatMul(encoder_hidden_states, ${p}${w})\n${split(`${p}${w}h`, `${p}${w}p`)}` +
              `${present('encoder', x)} = Identity(${p}${w}h)\n`
            );
          })
          .join('') +
        attend(`${p}b`, `${p}a`, `${p}cqh`, present('encoder', 'key'), present('encoder', 'value'), 'em', `${p}co`) +
        feedForward(to, `${p}b`, p)
      );
    }).join('') +
    `logits = MatMul(x${LAYERS}, head)\n`
  );
}
const decoderWeights =
  `${CONSTANTS}, float[${V},${D}] table, float[${D},${V}] head, ` +
  Array.from({ length: LAYERS }, (_, i) => weightsOf(`d${i}_`, true)).join(', ');
const results = [
  'logits',
  ...pasts('decoder').map((n) => `present_${n}`),
  ...pasts('encoder').map((n) => `present_${n}`),
];
const typed = (name: string): string =>
  name === 'logits'
    ? `float[batch,sequence,${V}] ${name}`
    : `float[batch,${H},${/encoder_(key|value)$/.test(name) && !name.includes('decoder') ? 'encoder_out' : 'total'},${W}] ${name}`;
const pastInputs = [
  ...pasts('decoder').map((n) => `float[batch,${H},past_decoder_sequence,${W}] past_key_values_${n}`),
  ...pasts('encoder').map((n) => `float[batch,${H},encoder_sequence_out,${W}] past_key_values_${n}`),
].join(', ');
const decoderInputs =
  'int64[batch,encoder_sequence] encoder_attention_mask, int64[batch,sequence] input_ids, ' +
  `float[batch,encoder_sequence,${D}] encoder_hidden_states, ${pastInputs}`;

/** One decoder for both: an If on use_cache_branch, whose branches share the weights around it. */
export const mergedDecoder = (dir: string): string =>
  write(
    path.join(dir, 'decoder_model_merged.onnx'),
    `g (${decoderInputs}, bool[1] use_cache_branch) => (${results.map(typed).join(', ')}) <${decoderWeights}> {
      ${results.join(', ')} = If(use_cache_branch) <
        then_branch = with_past () => (${results.map((r) => typed(r).replace(r, `t_${r}`)).join(', ')}) { ${inBranch('t_', decoderLayers(true))} },
        else_branch = no_past () => (${results.map((r) => typed(r).replace(r, `n_${r}`)).join(', ')}) { ${inBranch('n_', decoderLayers(false))} }> }`,
  );

/** What a branch makes has names of its own; what it is given and the weights are those around it. */
function inBranch(prefix: string, body: string): string {
  const made = new Set([...body.matchAll(/(\w+)\s*=\s*[A-Z]\w*\s*[<(]/g)].map(([, name]) => name ?? ''));
  return body.replace(/\b[a-z]\w*\b/g, (word) => (made.has(word) ? `${prefix}${word}` : word));
}
