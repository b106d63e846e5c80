import type { Diagnostic } from '../base/errors.js';
import { convertedTensor } from '../ir/converted.js';
import { dtypeCode } from '../ir/dtype.js';
import { label, type Node, type Value } from '../ir/graph.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnusedInitializers } from '../rewrite/pass.js';
import type { Format, FormatInput, TensorPlace } from './types.js';

/** Largest float16, and its smallest normal number: smaller ones lose bits. */
const MAX = 65504;
const NORMAL = 2 ** -14;
/** Inputs that stay float32 whatever the op computes in: scales, regions, and the like. */
const FLOAT32_INPUTS: Readonly<Record<string, readonly number[]>> = { Resize: [1, 2], Upsample: [1], GridSample: [] };

/**
 * The model computes in float16; inputs and outputs stay float32. Nodes that see activations beyond 65504 or, all of
 * them, below 2^-14 in calibration stay float32 between Casts, as do those that planning kept and divisors and roots
 * that go below it.
 */
export const float16 = {
  name: 'float16',
  doc:
    'Computes in float16 (inputs and outputs stay float32), for runtimes with float16 kernels such as those of ' +
    'GPUs and ARM. On x64 CPUs onnxruntime converts back and forth: slower than float32; for a small file alone ' +
    'use format: coded. With calibration data, what leaves the range of float16 stays float32.',
  plan: 'half',
  minOpset: () => 13,
  rewrite(input) {
    const near = nearZero(input);
    const halved = new Set([...input.planned.weightOnlyNodes].filter((n) => !near.has(n) && fits(n, input)));
    const results = [...halved]
      .flatMap((n) => n.outputs.filter((y) => y.dtype === 'float32'))
      .map((y) => [y.name, y] as const); // named now: outputs of the model hand their names on
    convert(input, halved);
    removeUnusedInitializers(input.model.graph);
    return {
      changes: halved.size,
      tensors: new Map(results.map(([name, value]): [string, TensorPlace] => [name, { value, dtype: 'float16' }])),
    };
  },
} satisfies Format;

/**
 * Nodes around operands that calibration saw so near to zero that float16 loses them, where that matters; tells which.
 */
function nearZero({ planned, stats, report }: FormatInput): Set<Node> {
  const found = new Set<Node>();
  for (const [v, nodes] of planned.nearZero ?? []) {
    const seen = stats?.get(v);
    if (!seen || seen.count === 0) continue;
    const least = Math.min(...seen.min);
    if (least < 0 || least >= NORMAL) continue; // of numbers of both signs, what lies between is not known
    for (const n of nodes) found.add(n);
    const seenDown = Number(least.toPrecision(2));
    const message = `'${v.name}' goes down to ${
      seenDown
    }, where float16 loses bits, and a divisor or root: it stays float32`;
    report?.({ severity: 'note', code: 'KEPT_FLOAT32', message, where: { tensor: v.name } } satisfies Diagnostic);
  }
  return found;
}

/** Whether calibration saw only what float16 can hold around a node; tells where not. */
function fits(n: Node, { stats, report }: FormatInput): boolean {
  for (const v of [...n.inputs, ...n.outputs]) {
    const seen = v && stats?.get(v);
    if (!seen || seen.count === 0) continue;
    // A mask's infinity is one in float16 too.
    const most = Math.max(...[...seen.max, ...seen.min].map(Math.abs).filter((x) => x !== Infinity));
    const reason =
      most > MAX
        ? `reaches ${Number(most.toPrecision(4))}, beyond the range of float16`
        : most > 0 && most < NORMAL
          ? `stays below ${Number(most.toPrecision(2))}, where float16 loses bits`
          : undefined;
    if (reason === undefined) continue;
    report?.({
      severity: 'note',
      code: 'KEPT_FLOAT32',
      message: `'${label(n)}' stays float32: '${v.name}' ${reason}`,
      where: { node: label(n), tensor: v.name },
    } satisfies Diagnostic);
    return false;
  }
  return true;
}

function convert({ model }: FormatInput, halved: ReadonlySet<Node>): void {
  const { graph } = model;
  const b = new GraphBuilder(model);
  const order = graph.topological();
  const halves = new Map<Value, Value>();
  const floats = new Map<Value, Value>();
  const isHalf = (v: Value): boolean => v.producer !== undefined && halved.has(v.producer);
  const wasFloat = new Map<Value, boolean>();
  for (const n of order) for (const v of [...n.inputs, ...n.outputs]) if (v) wasFloat.set(v, v.dtype === 'float32');
  const cast = (v: Value, to: 'float16' | 'float32'): Value =>
    b.op('Cast', [v], { attrs: { to: dtypeCode(to) }, name: `${v.name}_${to}` });
  const halfOf = (v: Value): Value => {
    const known = halves.get(v);
    if (known) return known;
    // an initializer has data
    const made = v.isInitializer ? b.constant(convertedTensor(v.data!, 'float16'), v.name) : cast(v, 'float16');
    halves.set(v, made);
    return made;
  };
  const floatOf = (v: Value): Value => {
    const known = floats.get(v) ?? cast(v, 'float32');
    floats.set(v, known);
    return known;
  };
  for (const n of order) {
    if (halved.has(n)) {
      n.inputs.forEach((v, i) => {
        if (v && wasFloat.get(v) === true && !isHalf(v) && !FLOAT32_INPUTS[n.op]?.includes(i)) n.setInput(i, halfOf(v));
      });
      for (const y of n.outputs) if (wasFloat.get(y)) y.dtype = 'float16';
    } else {
      n.inputs.forEach((v, i) => {
        if (v && isHalf(v) && wasFloat.get(v)) n.setInput(i, floatOf(v));
      });
    }
  }
  // Graphs inside of nodes read float32, and so does the caller.
  for (const n of order)
    for (const v of n.captures())
      if (isHalf(v) && wasFloat.get(v))
        for (const u of [...v.uses]) if (u.node.graph !== graph) u.node.setInput(u.index, floatOf(v));
  for (const y of [...graph.outputs]) {
    if (!isHalf(y) || !wasFloat.get(y)) continue;
    const { name, shape } = y;
    y.name = b.freeName(`${name}_float16`);
    const float = floatOf(y);
    float.name = name;
    float.shape = shape;
    float.dtype = 'float32';
    graph.outputs.forEach((o, i) => {
      if (o === y) graph.setOutput(i, float);
    });
  }
}
