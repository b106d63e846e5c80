/** Why a plan quantizes nothing, in words that fit the model. */
import { item } from '../base/lists.js';
import { label, type Node, type Value } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import { isCell, linearView, specOf } from '../ops/index.js';
import type { Planned } from '../scheme/quantized.js';

export interface Nothing {
  readonly message: string;
  readonly hint: string;
}

/** What there is to quantize, and what stands against it; `plan` is the kind of format. */
export function whyNothing(model: Model, planned: Planned, plan: string): Nothing {
  const nodes = [...allGraphs(model.graph)].flatMap((g) => g.topological());
  const compute = nodes.filter((n) => specOf(n)?.quant.role === 'compute');
  const cells = nodes.filter(isCell);
  const types = new Set(compute.map((n) => n.outputs[0]?.dtype));
  const [type] = types;
  const stays = (n: Node): string[] => {
    const why = planned.floatNodes.get(n);
    return why === undefined ? [] : [`'${label(n)}': ${why}`];
  };
  const reasons = [...compute, ...cells].flatMap(stays).slice(0, 3);
  const because = reasons.length ? `; ${reasons.join('; ')}` : '';
  const what = plan === 'half' ? 'computed in float16' : 'quantized';
  if (compute.length && types.size === 1 && type && type !== 'float32') {
    const already = type === 'float16' && plan === 'half';
    return {
      message:
        `nothing in the model can be ${what}: its ${countText(compute)} ` +
        `${already ? 'are float16 already' : `compute in ${type}${because}`}`,
      hint: already ? 'a float16 model needs no conversion' : `give the float32 model: ${type} is taken as it is`,
    };
  }
  if (cells.length && !compute.length) {
    return {
      message:
        `nothing in the model can run in integers: it has ${countText(cells)} and no convolution or matrix ` +
        `product; ${reasons[0] ?? `${item(cells, 0).op} has no integer kernel`}`, // not empty
      hint:
        'format: coded stores the weights of recurrent cells in fewer bits; LSTM has an integer kernel with ' +
        'format: dynamic',
    };
  }
  return {
    message:
      'nothing in the model can ' +
      `${plan === 'half' ? 'be computed in float16' : 'run in integers'}${
        because || ': it has no convolution or matrix product'
      }`,
    hint: 'see quantize.include, quantize.exclude and the model itself with `quantize inspect`',
  };
}

/** Such as `2 MatMul and 1 Conv`. */
function countText(nodes: readonly Node[]): string {
  const counts = new Map<string, number>();
  for (const { op } of nodes) counts.set(op, (counts.get(op) ?? 0) + 1);
  return [...counts].map(([op, n]) => `${n} ${op}`).join(' and ');
}

/** Why a product without a constant weight on its right is left alone. */
export function withoutWeight(n: Node, isInput: (v: Value) => boolean): string {
  const view = linearView(n);
  const other = view && n.inputs[view.weight];
  const left = view?.kind === 'product' && view.weight === 0 && other?.isInitializer && !isInput(other);
  return left
    ? 'its weight is the left operand, which only formats qdq and qoperator take'
    : 'its weight is not a constant';
}
