/** Writes a quantized graph, or a float model, as model.tflite. */
import { fail } from '../../base/errors.js';
import { label, type Node } from '../../ir/graph.js';
import { dataInputs, specOf } from '../../ops/index.js';
import { evaluateModel } from '../../runtime/open.js';
import type { QuantizedGraph } from '../../scheme/quantized.js';
import { FOLDED, foldedCopy } from '../shared/folded.js';
import { layersIn } from '../shared/layers.js';
import type { Emitted, EmitInput, Emitter, Precision, StaysFloat } from '../types.js';
import { layChannelsLast } from './channels-last.js';
import { writeFlatbuffer } from './flatbuffer.js';
import { LayerWriter } from './layer-writer.js';
import { isTensorType, ModelWriter, type Kind } from './model-writer.js';
import { rules } from './rules/index.js';
import type { LiteModel } from './tensors.js';

export const emitter: Emitter = {
  precisions: ['float32', 'float16'],
  refuses: ({ model }) => refusals(model.graph.topological(), model.opsets.get('') ?? 1),
  async emit(input: EmitInput): Promise<Emitted> {
    const { model, floats } = await liteModel(input);
    return { files: [{ path: 'model.tflite', role: 'model', data: writeFlatbuffer(model) }], floats };
  },
};

function refusals(nodes: readonly Node[], opset: number): StaysFloat[] {
  return nodes.flatMap((n): StaysFloat[] => {
    if (n.domain === '' && FOLDED.has(n.op)) return [];
    const rule = n.domain === '' ? rules[n.op] : undefined;
    const because = rule
      ? rule.refuses?.(n, opset)
      : `there is no kernel for ${n.domain ? `${n.domain}:` : ''}${n.op} that is written`;
    return because === undefined ? [] : [{ node: label(n), op: n.op, because }];
  });
}

/** The model in memory. Throws EXPORT_UNSUPPORTED for what cannot be written, by node or tensor. */
export async function liteModel(
  input: EmitInput,
): Promise<{ readonly model: LiteModel; readonly floats: StaysFloat[] }> {
  const { graph, example } = input;
  checkCodings(graph);
  const copy = await foldedCopy(graph, example);
  const opset = copy.model.opsets.get('') ?? 1;
  await layChannelsLast(copy, evaluateModel);
  const { inputs, outputs, layers } = layersIn(graph, copy);
  const writer = new ModelWriter(precisionOf(input));
  for (const e of inputs) writer.give(e, writer.tensor(kindOf(e.name, e.dtype), e.shape, e.name));
  const floats: StaysFloat[] = [];
  for (const layer of layers) {
    const rule = rules[layer.op];
    if (!rule)
      fail(
        'EXPORT_UNSUPPORTED',
        `'${layer.name}' (${layer.op}) has no kernel in LiteRT that is written`,
        { node: layer.name },
        'quantize lint names all such nodes',
      );
    const w = new LayerWriter(writer, layer, rule, opset);
    rule.write(w);
    if (layer.integer && !w.onCodes && !w.isHybrid && isWork(layer.node))
      floats.push({ node: layer.name, op: layer.op, because: 'its kernel makes no numbers from codes' });
  }
  return { model: writer.finish(input.name, inputs, outputs), floats };
}

/** Whether a node computes, and reads codes to do so. */
const isWork = (n: Node): boolean => specOf(n)?.quant.role !== 'passthrough' && dataInputs(n).length > 0;

function kindOf(name: string, dtype: string): Kind {
  return isTensorType(dtype)
    ? { type: dtype }
    : fail('EXPORT_UNSUPPORTED', `input '${name}' is ${dtype}, which LiteRT does not take`, { tensor: name });
}

/** A plan in float16 asks for constants in float16; kernels of CPUs compute in float32 from them. */
const precisionOf = ({ graph, precision }: EmitInput): Precision =>
  [...graph.planned.plan.values()].some((s) => s.kind === 'half') ? 'float16' : precision;

/** Weights that a coding stores, and what is added to them, have no form here. */
function checkCodings({ planned, lowRank }: QuantizedGraph): void {
  const coded = [...planned.plan].find(([, spec]) => spec.kind === 'coded');
  const added = [...(lowRank?.keys() ?? [])][0];
  const point = coded?.[0] ?? added;
  if (!point) return;
  const name = 'uses' in point ? point.name : label(point.node);
  fail(
    'EXPORT_UNSUPPORTED',
    `'${name}' is stored ${coded ? 'by a coding' : 'with a low-rank term'}, which LiteRT does not read`,
    { tensor: name },
    'set quantize.format to qdq, dynamic or weight-only, without lowRank',
  );
}
