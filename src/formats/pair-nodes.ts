/** QuantizeLinear and DequantizeLinear nodes of a graph, each made once for all that may read the same. */
import { createRng, type Rng } from '../base/rng.js';
import { dtypeCode } from '../ir/dtype.js';
import type { Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import { weightCodes } from '../scheme/arithmetic.js';
import { quantizeBias } from '../scheme/bias.js';
import type { QuantParams } from '../scheme/types.js';
import { NarrowCodes } from './narrow-codes.js';
import { axisAttrs, paramDims } from './param-shape.js';
import type { FormatInput } from './types.js';

/** Keeps, for each quantized value, its codes and its dequantized form. */
export class PairNodes {
  /** By float value, the codes that stand for it. */
  readonly codes = new Map<Value, Value>();
  readonly #b: GraphBuilder;
  readonly #in: Pick<FormatInput, 'params'>;
  readonly #narrow: NarrowCodes;
  readonly #floats = new Map<Value, Value>();
  readonly #decoded = new Map<Value, Value>();
  readonly #constants = new Map<Value, Map<QuantParams, Value>>();
  readonly #stored = new Map<QuantParams, Value>();
  readonly #paramValues = new Map<QuantParams, { scale: Value; zeroPoint: Value | null }>();
  readonly #rng: Rng;

  constructor(builder: GraphBuilder, input: Pick<FormatInput, 'params' | 'seed'>) {
    this.#b = builder;
    this.#in = input;
    this.#narrow = new NarrowCodes(builder);
    this.#rng = createRng(input.seed, 'rounding');
  }

  codesOf(v: Value): Value {
    const known = this.codes.get(v);
    if (known) return known;
    const p = this.#in.params.get(v)!; // callers asked has()
    const codes =
      v.isInitializer && v.data
        ? this.#b.constant(weightCodes(v.data, p, this.#rng), `${v.name}_quantized`)
        : this.quantize(v, p, v.name);
    this.codes.set(v, codes);
    return codes;
  }
  /** The dequantized form of a quantized value: one for all users that may read the same. */
  float(v: Value, apart = false): Value {
    const forms = apart ? this.#decoded : this.#floats;
    const known = forms.get(v);
    if (known) return known;
    const p = this.#in.params.get(v)!; // callers asked has()
    const made = apart ? this.decode(v, p, v.name) : this.dequantize(this.codesOf(v), p, v.name);
    forms.set(v, made);
    return made;
  }
  /**
   * An activation's codes in float, not by DequantizeLinear but by what it does in single operators: onnxruntime 1.30
   * fuses pairs around an op without looking at the scales, and then refuses more than one, as channels have.
   */
  decode(v: Value, p: QuantParams, name: string): Value {
    const { granularity: g } = p.scheme;
    const rank = v.shape?.length ?? 0; // planning gives a scale for each channel only where the rank is known
    const dims = g.kind === 'axis' ? [p.scale.length, ...Array<number>(rank - g.axis - 1).fill(1)] : [];
    const op = (kind: string, ...inputs: Value[]): Value => this.#b.op(kind, inputs, { name: `${name}_${kind}` });
    let float = this.#b.op('Cast', [this.codesOf(v)], { attrs: { to: dtypeCode('float32') }, name: `${name}_Cast` });
    if (p.zeroPoint.some((z) => z !== 0)) {
      float = op('Sub', float, this.#b.constant(Tensor.f32(Float32Array.from(p.zeroPoint), dims), `${name}_zero`));
    }
    return op('Mul', float, this.#b.constant(Tensor.f32(p.scale, dims), `${name}_scales`));
  }
  /** A weight or bias stored as codes and dequantized; once for all users with the same parameters. */
  constantFloat(v: Value, p: QuantParams): Value {
    const byParams = this.#constants.get(v) ?? new Map<QuantParams, Value>();
    this.#constants.set(v, byParams);
    const known = byParams.get(p);
    if (known) return known;
    const codes = this.constantCodes(v, p);
    const made = /^u?int2$/.test(p.scheme.dtype) ? this.#unfused(codes, p, v.name) : this.dequantize(codes, p, v.name);
    byParams.set(p, made);
    return made;
  }
  /** Parameters belong to one weight: its codes are stored once, for products and look-ups. */
  constantCodes(v: Value, p: QuantParams): Value {
    const known = this.#stored.get(p);
    if (known) return known;
    const data = v.data!; // planning chose constants only
    const codes = p.scheme.dtype === 'int32' ? quantizeBias(data.f32(), p) : weightCodes(data, p, this.#rng);
    const made = this.#narrow.codes(codes, p.scheme, `${v.name}_quantized`);
    this.#stored.set(p, made);
    return made;
  }
  /**
   * onnxruntime 1.30 fuses a product with a DequantizeLinear of 2-bit codes into an integer kernel that does not take
   * them, and then refuses the model. A Reshape between keeps them apart: the codes are stored with a further axis of
   * size one.
   */
  #unfused(codes: Value, p: QuantParams, name: string): Value {
    const data = codes.data!; // the caller made a constant
    const g = p.scheme.granularity;
    codes.data = data.reshaped([1, ...data.dims]);
    codes.shape = codes.data.dims;
    const moved = {
      ...p,
      scheme: { ...p.scheme, granularity: g.kind === 'tensor' ? g : { ...g, axis: g.axis < 0 ? g.axis : g.axis + 1 } },
      ...(p.dims ? { dims: [1, ...p.dims] } : {}),
    };
    return this.#b.op(
      'Reshape',
      [this.dequantize(codes, moved, name), this.#b.constant(Tensor.i64(data.dims), `${name}_shape`)],
      { name: `${name}_Reshape` },
    );
  }
  #params(p: QuantParams, name: string): { scale: Value; zeroPoint: Value | null } {
    const known = this.#paramValues.get(p);
    if (known) return known;
    const dims = paramDims(p);
    const made = {
      scale: this.#b.constant(Tensor.f32(p.scale, dims), `${name}_scale`),
      zeroPoint:
        p.scheme.dtype === 'int32'
          ? null
          : // ONNX has no zero point for int32
            this.#b.constant(Tensor.codes(p.scheme.dtype, p.zeroPoint, dims), `${name}_zero_point`),
    };
    this.#paramValues.set(p, made);
    return made;
  }
  quantize(v: Value, p: QuantParams, name: string): Value {
    const { scale, zeroPoint } = this.#params(p, name);
    return this.#b.op('QuantizeLinear', [v, scale, zeroPoint], {
      attrs: axisAttrs(p.scheme),
      name: `${name}_QuantizeLinear`,
      outputs: [this.#b.freeName(`${name}_QuantizeLinear_Output`)],
    });
  }
  dequantize(codes: Value, p: QuantParams, name: string): Value {
    const { scale, zeroPoint } = this.#params(p, name);
    return this.#b.op('DequantizeLinear', [codes, scale, zeroPoint], {
      attrs: axisAttrs(p.scheme),
      name: `${name}_DequantizeLinear`,
      outputs: [this.#b.freeName(`${name}_DequantizeLinear_Output`)],
    });
  }
}
