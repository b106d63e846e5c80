import { dtypeCode, integerRange } from '../ir/dtype.js';
import type { Graph, Node, Value } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { dataInputs, specOf } from '../ops/index.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnused, removeUnusedInitializers, replaceOutputs } from '../rewrite/pass.js';
import { quantize } from '../scheme/arithmetic.js';
import { roundHalfEven } from '../scheme/rounding.js';
import { codeRange, fixedCodes, fixedParams } from '../scheme/params.js';
import type { QuantParams } from '../scheme/types.js';
import { isNarrow, NARROW_CODES_OPSET } from './narrow-codes.js';
import { spellPads } from './pad-axes.js';
import { PairNodes } from './pair-nodes.js';
import { keepFloat } from './stays-float.js';
import type { Format, FormatInput, Rewritten, TensorPlace } from './types.js';

/**
 * QuantizeLinear / DequantizeLinear pairs around every op that runs in integers, as ONNX Runtime, OpenVINO and TensorRT
 * fuse them. Ops that the target does not fuse between a pair (Pad, Clip) are written on the codes themselves.
 */
export const qdq = {
  name: 'qdq',
  doc: 'QuantizeLinear and DequantizeLinear pairs around float ops; the runtime fuses them into integer kernels.',
  plan: 'static',
  minOpset: (schemes) =>
    schemes.some((s) => /^u?int2$/.test(s.dtype))
      ? 25
      : schemes.some((s) => s.granularity.kind === 'block' || !/^u?int8$/.test(s.dtype))
        ? 21
        : schemes.some(isNarrow)
          ? NARROW_CODES_OPSET
          : 13,
  rewrite(input) {
    const freeName = new GraphBuilder(input.model).freeName;
    // Bodies first: they read what is float around them.
    const made = [...allGraphs(input.model.graph)]
      .reverse()
      .map((graph) => new QdqRewriter(input, graph, freeName).run());
    // the main graph is one
    return { changes: made.reduce((n, m) => n + m.changes, 0), tensors: made[made.length - 1]!.tensors };
  },
} satisfies Format;

/** Walks the integer nodes in order and puts what works on codes in their place. */
class QdqRewriter {
  readonly #b: GraphBuilder;
  readonly #pairs: PairNodes;
  readonly #in: FormatInput;
  readonly #graph: Graph;
  /** Float ops that a form on codes has replaced; they go once nobody reads their outputs. */
  readonly #replaced = new Set<Node>();
  /** Whether an activation has a scale for each channel in 8 bits. */
  readonly #apart: boolean;
  #changes = 0;

  constructor(input: FormatInput, graph: Graph, freeName: (base: string) => string) {
    this.#in = input;
    this.#graph = graph;
    this.#b = new GraphBuilder(input.model, graph, freeName);
    this.#pairs = new PairNodes(this.#b, input);
    this.#apart = [...input.params].some(
      ([p, q]) => 'uses' in p && !p.data && q.scheme.granularity.kind === 'axis' && /^u?int8$/.test(q.scheme.dtype),
    );
  }

  run(): Rewritten {
    const graph = this.#graph;
    spellPads(graph, this.#b);
    const order = graph.topological();
    const clamps = new Set(this.#in.planned.fusedClamps.values());
    for (const n of order) {
      if (!this.#in.planned.integerNodes.has(n) || clamps.has(n)) continue;
      const role = specOf(n)?.quant.role;
      const onCodes =
        this.#in.target.onCodes.includes(n.op) &&
        this.#takesCodes(n) &&
        (role === 'passthrough' || (role === 'clamp' && this.#clipsCodes(n.outputs[0]!))); // a clamp has an output
      if (onCodes) this.#onCodes(n);
      else this.#between(n);
    }
    const tensors = new Map<string, TensorPlace>(); // made now: graph outputs hand on their names below
    for (const [v, value] of this.#pairs.codes) {
      const params = this.#in.params.get(v);
      if (params && !v.isInitializer) tensors.set(v.name, { value, params });
    }
    // Float users of what integer nodes produce read the dequantized value; a graph output keeps its name.
    for (const n of order) {
      if (!this.#in.planned.integerNodes.has(n)) continue;
      for (const y of n.outputs) if (this.#pairs.codes.has(y)) this.#handOver(y);
    }
    for (const n of order) if (this.#in.planned.weightOnlyNodes.has(n)) this.#lookup(n);
    removeUnused(graph, [...order].reverse());
    keepFloat(graph, this.#b, this.#in.target.quantizesFloat ?? []);
    removeUnusedInitializers(graph);
    return { changes: this.#changes, tensors };
  }

  /** DQ → op → Q. */
  #between(n: Node): void {
    const { planned, params } = this.#in;
    const role = specOf(n)?.quant;
    if (role?.role === 'arithmetic' && role.twin && planned.plan.get(n.outputs[0]!)?.kind === 'fixed') {
      this.#asTwin(n, role.twin);
      return;
    } // arithmetic has an output
    const data = dataInputs(n);
    const apart = this.#apart && this.#fusible(n);
    for (const i of data) {
      const v = n.inputs[i];
      if (v && params.has(v)) n.setInput(i, this.#pairs.float(v, apart));
    }
    if (role?.role === 'compute') {
      for (const i of [role.weight, role.bias]) {
        if (i === undefined || data.includes(i)) continue;
        const v = n.inputs[i];
        const use = n.use(i);
        // an edge that needs its own comes before what the others share
        const p = v && ((use && params.get(use)) ?? params.get(v));
        if (v && p) n.setInput(i, this.#pairs.constantFloat(v, p));
      }
    }
    this.#changes++;
    const clamp = planned.fusedClamps.get(n);
    n.outputs.forEach((raw) => {
      const y = clamp ? clamp.outputs[0]! : raw; // a clamp has one output
      const p = params.get(y);
      if (!p) return;
      if (!clamp || !this.#clipsCodes(y)) {
        this.#pairs.codes.set(y, this.#pairs.quantize(y, p, y.name));
        return;
      }
      this.#replaced.add(clamp);
      this.#pairs.codes.set(y, this.#clampCodes(this.#pairs.quantize(raw, p, y.name), clamp, p, y.name));
    });
  }

  /** DQ → twin → Q, whose codes are those of `n` under the scales of its output. */
  #asTwin(
    n: Node,
    { op, factor, range }: { readonly op: string; readonly factor: number; readonly range: readonly [number, number] },
  ): void {
    const [x, y] = [n.inputs[0]!, n.outputs[0]!]; // arithmetic of one operand
    const p = this.#in.params.get(x)!; // inputs of integer nodes are planned
    const { scheme } = this.#in.params.get(y)!; // its range is fixed
    const name = n.name || n.op;
    const { scale, zeroPoint } = fixedCodes(range, scheme);
    const scaled = { ...p, scale: p.scale.map((s) => s * factor) };
    const float = this.#apart
      ? this.#pairs.decode(x, scaled, `${name}_${x.name}`)
      : this.#pairs.dequantize(this.#pairs.codesOf(x), scaled, `${name}_${x.name}`);
    const made = this.#b.op(op, [float], { name: `${name}_${op}` });
    this.#pairs.codes.set(y, this.#pairs.quantize(made, fixedParams(scheme, scale, zeroPoint), `${name}_${op}`));
    this.#replaced.add(n);
    this.#changes++;
  }

  /**
   * ONNX Runtime clips 8-bit codes only, one limit cannot serve channels with scales of their own, and not every target
   * takes operators on codes: else the clamp stays float.
   */
  #clipsCodes(y: Value): boolean {
    const scheme = this.#in.params.get(y)?.scheme;
    const written = this.#in.target.onCodes.includes('Clip');
    return written && scheme !== undefined && scheme.granularity.kind === 'tensor' && /^u?int8$/.test(scheme.dtype);
  }

  #takesCodes(n: Node): boolean {
    const p = n.inputs[0] && this.#in.params.get(n.inputs[0]);
    return !p || /^u?int8$/.test(p.scheme.dtype) || !this.#in.target.byteCodes?.includes(n.op);
  }

  /** The op itself, on codes: it moves or compares them and every code keeps its meaning. */
  #onCodes(n: Node): void {
    const x = n.inputs[0]!; // passthrough ops have a data input
    const [y] = n.outputs;
    const p = this.#in.params.get(x);
    if (!y || !p) return;
    const codes = this.#pairs.codesOf(x);
    this.#replaced.add(n);
    this.#changes++;
    if (specOf(n)?.quant.role === 'clamp') {
      this.#pairs.codes.set(y, this.#clampCodes(codes, n, p, y.name));
      return;
    }
    const inputs = n.inputs.map((v, i) => (i === 0 ? codes : v));
    if (n.op === 'Pad') inputs[2] = this.#padValue(n, p, y.name);
    this.#pairs.codes.set(
      y,
      this.#b.op(n.op, inputs, {
        attrs: Object.fromEntries(n.attrs),
        name: n.name || n.op,
        outputs: [this.#b.freeName(`${y.name}_quantized`)],
      }),
    );
  }
  /** Pads with the code of the pad value, 0 by default. */
  #padValue(n: Node, p: QuantParams, name: string): Value {
    const value = n.inputs[2]?.data?.f32() ?? new Float32Array(1);
    return this.#b.constant(
      quantize(Float32Array.from(value.subarray(0, 1)), [], {
        ...p,
        scheme: { ...p.scheme, granularity: { kind: 'tensor' } },
      }),
      `${name}_pad_code`,
    );
  }

  /** Clip on codes, or nothing where saturation to the type, which knows of no narrow codes, already does it. */
  #clampCodes(codes: Value, clamp: Node, p: QuantParams, name: string): Value {
    const role = specOf(clamp)?.quant;
    const [low, high] = (role?.role === 'clamp' ? role.bounds(clamp) : undefined) ?? [-Infinity, Infinity];
    const [from, to] = integerRange(p.scheme.dtype) ?? [-Infinity, Infinity];
    const [first, last] = codeRange(p.scheme);
    const code = (x: number): number =>
      Math.min(last, Math.max(first, roundHalfEven(x / p.scale[0]!) + p.zeroPoint[0]!));
    const [a, b] = [low === -Infinity ? from : code(low), high === Infinity ? to : code(high)];
    if (a <= from && b >= to) return codes;
    const limit = (c: number, end: string): Value =>
      this.#b.constant(Tensor.codes(p.scheme.dtype, [c], []), `${name}_${end}_code`);
    return this.#b.op(
      'Clip',
      [codes, a > from ? limit(a, 'low') : null, b < to ? limit(b, 'high') : null].slice(0, b < to ? 3 : 2),
      { name: clamp.name || clamp.op, outputs: [this.#b.freeName(`${name}_clipped`)] },
    );
  }

  /** Whether the runtime may fuse a node with pairs around it: not a product whose bias stays float. */
  #fusible(n: Node): boolean {
    const role = specOf(n)?.quant;
    const b = role?.role === 'compute' && role.bias !== undefined ? n.inputs[role.bias] : undefined;
    return !b || this.#in.params.has(b) || this.#in.params.has([...b.uses].find((u) => u.node === n)!); // n is a user
  }

  /** Rows of codes are looked up, and their scales, and multiplied: the table itself never becomes float. */
  #lookup(n: Node): void {
    const [table, indices] = [n.inputs[0]!, n.inputs[1]!]; // planning chose look-ups in tables
    const p = this.#in.params.get(n.use(0)!) ?? this.#in.params.get(table)!; // one of both is planned
    const name = n.name || n.op;
    const rows = this.#b.op('Gather', [this.#pairs.constantCodes(table, p), indices], {
      attrs: { axis: 0 },
      name: `${name}_codes`,
    });
    this.#changes++;
    if (p.scale.length === 1) {
      replaceOutputs(this.#graph, n, [this.#pairs.dequantize(rows, p, `${name}_rows`)]);
      return;
    }
    const shape = [p.scale.length, ...table.data!.dims.slice(1).map(() => 1)]; // a constant table
    const scales = this.#b.constant(Tensor.f32(p.scale, shape), `${table.name}_row_scale`);
    const scale = this.#b.op('Gather', [scales, indices], { attrs: { axis: 0 }, name: `${name}_scales` });
    const float = this.#b.op('Cast', [rows], { attrs: { to: dtypeCode('float32') }, name: `${name}_cast` });
    replaceOutputs(this.#graph, n, [this.#b.op('Mul', [float, scale], { name: `${name}_scaled` })]);
  }

  /** Whoever still reads the float value reads the dequantized codes from now on; a graph output keeps its name. */
  #handOver(y: Value): void {
    if (this.#in.target.floatReads === 'values') return;
    const readers = [...y.uses].filter(
      (u) => !this.#replaced.has(u.node) && !(u.node.op === 'QuantizeLinear' && u.index === 0),
    );
    if (!readers.length && !y.isGraphOutput) return;
    for (const u of readers) u.node.setInput(u.index, this.#pairs.float(y, this.#apart));
    if (!y.isGraphOutput) return;
    const float = this.#pairs.float(y);
    const name = y.name;
    y.name = this.#b.freeName(`${name}_unquantized`);
    float.name = name;
    float.shape = y.shape;
    for (const g of [...y.outputOf.keys()])
      g.outputs.forEach((o, i) => {
        if (o === y) g.setOutput(i, float);
      });
  }
}
