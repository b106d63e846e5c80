/** Keys and values of earlier tokens in integers: what GroupQueryAttention keeps between runs. */
import { fail } from '../base/errors.js';
import { filled } from '../base/lists.js';
import type { Graph, Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';

/** A cache [batch, heads, tokens, size] of an attention: an input of the model, and the output that goes on with it. */
export interface Cache {
  readonly node: string;
  readonly part: 'key' | 'value';
  readonly past: string;
  readonly present: string;
  readonly heads: number;
  readonly size: number;
}

export interface CacheForm {
  readonly bits: 8 | 4;
  readonly granularity: 'channel' | 'tensor';
}

/** Inputs and outputs of the operator that caches and their scales are. */
const SLOTS = {
  key: { past: 3, present: 1, scale: 12, type: 'k_quant_type' },
  value: { past: 4, present: 2, scale: 13, type: 'v_quant_type' },
} as const;

/** The float caches of a model. Throws MODEL_UNSUPPORTED where no operator keeps one that can be quantized. */
export function cachesOf({ graph }: Model): Cache[] {
  const found = graph
    .topological()
    .filter((n) => n.op === 'GroupQueryAttention' && n.domain === 'com.microsoft')
    .flatMap((n) => [cacheOf(n, 'key', graph), cacheOf(n, 'value', graph)])
    .filter((c) => c !== undefined);
  if (!found.length)
    fail(
      'MODEL_UNSUPPORTED',
      'quantize.kvCache: no GroupQueryAttention keeps keys and values as inputs and outputs of the model',
      {},
      '`quantize optimize --target onnxruntime-cpu --passes fuse-group-query-attention` says why attention is left as it is; ' +
        'or export the model with GroupQueryAttention, as the builder of onnxruntime-genai does',
    );
  return found;
}

function cacheOf(n: Node, part: 'key' | 'value', graph: Graph): Cache | undefined {
  const { past: from, present: to } = SLOTS[part];
  const [past, present] = [n.inputs[from], n.outputs[to]];
  const [heads, size] = [past?.shape?.[1], past?.shape?.[3]];
  const whole = typeof heads === 'number' && typeof size === 'number' && size % 2 === 0;
  if (!past || !present?.isGraphOutput || !graph.inputs.includes(past) || past.dtype !== 'float32' || !whole)
    return undefined;
  return { node: n.name, part, past: past.name, present: present.name, heads, size };
}

/**
 * Keeps the caches in int8, or two 4-bit codes in each uint8, with these scales by name of the past: [heads · size], or
 * one. Changes the model: types of its inputs and outputs too. source:
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention
 */
export function quantizeCaches(model: Model, scales: ReadonlyMap<string, Float32Array>, form: CacheForm): number {
  const b = new GraphBuilder(model);
  const type = form.granularity === 'channel' ? 'PER_CHANNEL' : 'PER_TENSOR';
  let changes = 0;
  for (const n of model.graph.topological())
    for (const part of ['key', 'value'] as const) {
      const slots = SLOTS[part];
      const past = n.op === 'GroupQueryAttention' ? n.inputs[slots.past] : undefined;
      const scale = past && scales.get(past.name);
      if (!past || !scale) continue;
      const heads = Number(past.shape?.[1]); // cachesOf found numbers
      const dims = scale.length === 1 ? [1] : [1, heads, 1, scale.length / heads];
      n.setInput(slots.scale, b.constant(Tensor.f32(scale, dims), `${past.name}_scale`));
      n.attrs.set(slots.type, { type: 'string', value: type });
      n.attrs.set('kv_cache_bit_width', { type: 'int', value: BigInt(form.bits) });
      for (const v of [past, filled(n.outputs, slots.present)]) narrow(v, form.bits);
      changes++;
    }
  return changes;
}

function narrow(v: Value, bits: 8 | 4): void {
  v.dtype = bits === 8 ? 'int8' : 'uint8';
  if (bits === 4) v.shape = v.shape?.map((d, axis) => (axis === 3 && typeof d === 'number' ? d / 2 : d));
}
