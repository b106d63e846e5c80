/** The planned model as a float model whose weights and activations take only the values that codes can mean. */
import { filled } from '../base/lists.js';
import { cloneModel } from '../ir/clone.js';
import type { Node, Use, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { dataOf } from '../ir/known.js';
import { Tensor } from '../ir/tensor.js';
import { inferShapes } from '../ops/infer.js';
import { dataInputs, specOf } from '../ops/index.js';
import { pointName } from '../quantize/planners/static.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnusedInitializers } from '../rewrite/pass.js';
import type { Coded } from '../scheme/codings/types.js';
import type { Planned } from '../scheme/quantized.js';
import type { QuantParams, QuantPoint, QuantSpec } from '../scheme/types.js';
import { addCodedWeight, readCodedWeight, type CodedWeightPoint } from './coded-weights.js';
import { clipAndRound, fakeQuantize, roundBias } from './integers.js';
import { leastError } from './start.js';
import { addSteps, readSteps, type Steps, type StepsRequest } from './step-size.js';
import type { FakeQuantized, FakeQuantOptions, QatParameter, Trained } from './types.js';

type Params = ReadonlyMap<QuantPoint, QuantParams>;

/**
 * A float model that computes what the integer model of these parameters will, as far as float32 can, made for training
 * with straight-through rounding: weights, biases and activations are rounded where the plan says so, and step sizes
 * are initializers too. Its outputs differ from those of the integer model where a sum lies on the border between two
 * codes. The model given stays as it is.
 */
export function withFakeQuant(
  given: Model,
  planned: Planned,
  params: ReadonlyMap<QuantPoint, QuantParams>,
  options: FakeQuantOptions = {},
): FakeQuantized {
  const copy = cloneModel(given);
  return new FakeQuantizer(given, copy, planned, params, options).run();
}

interface LearnedPoint {
  readonly point: QuantPoint;
  readonly steps: Steps;
  readonly request: StepsRequest;
}

class FakeQuantizer {
  readonly #given: Model;
  readonly #model: Model;
  readonly #values: ReadonlyMap<Value, Value>;
  readonly #nodes: ReadonlyMap<Node, Node>;
  readonly #planned: Planned;
  readonly #params: Params;
  readonly #options: Required<FakeQuantOptions>;
  readonly #b: GraphBuilder;
  readonly #steps = new Map<QuantPoint, LearnedPoint>();
  readonly #made = new Map<QuantPoint, Value>();
  readonly #weights = new Map<Value, { readonly parameter: QatParameter; readonly mask: Float32Array | undefined }>();
  readonly #constants: string[] = [];
  readonly #codings = new Map<QuantPoint, CodedWeightPoint>();

  constructor(
    given: Model,
    copy: ReturnType<typeof cloneModel>,
    planned: Planned,
    params: Params,
    options: FakeQuantOptions,
  ) {
    this.#given = given;
    [this.#model, this.#values, this.#nodes] = [copy.model, copy.values, copy.nodes];
    this.#planned = planned;
    this.#params = params;
    this.#options = {
      scales: 'lsq',
      steps: 'gradient',
      start: 'least-error',
      keepZeros: false,
      coded: new Map(),
      ...options,
    };
    inferShapes(copy.model);
    this.#b = new GraphBuilder(copy.model);
  }

  run(): FakeQuantized {
    const { integerNodes, weightOnlyNodes, fusedClamps } = this.#planned;
    const clamps = new Set(fusedClamps.values());
    const order = [...this.#nodes.keys()];
    const copies = order.filter((n) => integerNodes.has(n) || weightOnlyNodes.has(n));
    const readers = new Map<Value, Use[]>();
    for (const n of copies)
      for (const i of dataInputs(n)) {
        const [v, use] = [n.inputs[i], n.use(i)];
        if (v && use && integerNodes.has(n) && !clamps.has(n) && this.#params.has(v)) push(readers, v, use);
      }
    for (const n of copies) this.#weightsOf(n);
    const produced = new Set(copies.filter((n) => integerNodes.has(n)).flatMap((n) => n.outputs));
    for (const [v, uses] of readers) if (!produced.has(v)) this.#feed(v, uses);
    for (const n of copies) {
      if (!integerNodes.has(n) || clamps.has(n)) continue;
      const clamp = fusedClamps.get(n);
      for (const y of clamp ? clamp.outputs : n.outputs) if (this.#params.has(y) && !this.#moves(n)) this.#result(y);
    }
    return this.#product();
  }

  /** Ops that only move codes: what they give is on the grid already. */
  #moves(n: Node): boolean {
    return specOf(n)?.quant.role === 'passthrough';
  }

  #copyOf(v: Value): Value {
    return this.#values.get(v) ?? v;
  }
  #useOf({ node, index }: Use): Use {
    return { node: this.#nodes.get(node) ?? node, index };
  }

  /** Integer readers of a value that comes in float read it rounded. */
  #feed(v: Value, uses: readonly Use[]): void {
    const rounded = v.isInitializer ? this.#constant(v) : this.#activation(v);
    for (const use of uses) {
      const { node, index } = this.#useOf(use);
      node.setInput(index, rounded);
    }
  }
  #constant(v: Value): Value {
    const learnSize = this.#options.scales !== 'fixed';
    const steps = this.#stepsOf(v, v, { learnSize, elements: dataOf(v).size });
    return fakeQuantize(this.#b, this.#parameter(v, 'bias'), steps, v.name);
  }

  /** Everybody reads what an integer node gives rounded; a graph output keeps its name. */
  #result(y: Value): void {
    const own = this.#copyOf(y);
    const before = new Set(own.uses);
    const rounded = this.#activation(y);
    for (const use of before) use.node.setInput(use.index, rounded);
    if (!own.isGraphOutput) return;
    const { name } = own;
    own.name = this.#b.freeName(`${name}_float`);
    rounded.name = name;
    for (const g of [...own.outputOf.keys()])
      g.outputs.forEach((o, i) => {
        if (o === own) g.setOutput(i, rounded);
      });
  }

  #activationSteps(v: Value): Steps {
    const elements = (this.#copyOf(v).shape ?? [])
      .slice(1)
      .reduce<number>((n, d) => n * (typeof d === 'number' ? d : 1), 1);
    const observed = this.#planned.plan.get(this.#rootOf(v))?.kind === 'observed';
    return this.#stepsOf(v, v, { learnSize: observed && this.#options.scales !== 'fixed', elements });
  }

  #activation(v: Value): Value {
    const known = this.#made.get(v);
    if (known) return known;
    const own = this.#copyOf(v);
    const { scales } = this.#options;
    const steps = this.#activationSteps(v);
    let made: Value;
    if (scales === 'pact' && steps.learns.size !== undefined) {
      const { value, fixed } = clipAndRound(this.#b, own, steps, v.name);
      this.#constants.push(...fixed);
      made = value;
    } else made = fakeQuantize(this.#b, own, steps, v.name);
    this.#made.set(v, made);
    return made;
  }

  /** The weight and bias of a node. */
  #weightsOf(n: Node): void {
    const role = specOf(n)?.quant;
    const data = new Set(dataInputs(n));
    const stored = n.inputs.flatMap((v, i) => (v && this.#planned.plan.get(v)?.kind === 'coded' ? [i] : []));
    const own = role?.role === 'compute' ? [role.weight, role.bias] : this.#planned.weightOnlyNodes.has(n) ? [0] : [];
    const slots = new Set([...own, ...stored]);
    for (const i of slots) {
      const v = i === undefined ? undefined : n.inputs[i];
      const use = i === undefined ? null : n.use(i);
      if (!v?.isInitializer || !use || data.has(use.index) || v.data?.dtype !== 'float32') continue;
      const point = this.#params.has(use) || this.#planned.plan.has(use) ? use : v;
      const isBias = role?.role === 'compute' && i === role.bias;
      const made = this.#made.get(point) ?? (isBias ? this.#bias(point, v) : this.#weight(point, v));
      if (made) this.#made.set(point, made);
      if (made) filled([this.#nodes.get(n)], 0).setInput(use.index, made);
    }
  }

  #weight(point: QuantPoint, v: Value): Value | undefined {
    const spec = this.#planned.plan.get(point);
    if (spec?.kind === 'coded') return this.#coded(point, v, spec);
    const source = this.#parameter(v, 'weight');
    const params = this.#params.get(point);
    const data = v.data;
    if (!params || !data) return undefined;
    const learnSize = this.#options.scales !== 'fixed';
    const count = Math.max(1, params.scale.length);
    const started =
      learnSize && this.#options.start === 'least-error' ? leastError(data, params) : withoutCodes(params);
    const steps = this.#stepsOf(point, v, { learnSize, elements: data.size / count }, started);
    return fakeQuantize(this.#b, source, steps, pointName(point));
  }

  /** A weight whose codes mean levels of a coding. */
  #coded(point: QuantPoint, v: Value, spec: QuantSpec & { kind: 'coded' }): Value {
    const source = (learned: boolean): Value => (learned ? this.#parameter(v, 'weight') : this.#copyOf(v));
    const { scales, steps, coded } = this.#options;
    const found = addCodedWeight(this.#b, v, spec, source, { scales, steps, start: coded.get(point) });
    const { made } = found;
    this.#constants.push(...made.constants);
    this.#codings.set(point, found);
    return made.value;
  }

  /** int32 codes of the product of two step sizes, where it has some. */
  #bias(point: QuantPoint, v: Value): Value | undefined {
    const source = this.#parameter(v, 'bias');
    const spec = this.#planned.plan.get(point);
    if (spec?.kind !== 'derived') return undefined;
    const [from, weight] = [spec.from[0], this.#steps.get(this.#rootOf(spec.from[1]))?.steps];
    const activation = 'uses' in from && this.#params.has(from) ? this.#activationSteps(from) : undefined;
    if (!activation || !weight || weight.given.scheme.granularity.kind === 'block') return undefined;
    if (activation.given.scale.length !== 1) return undefined;
    return roundBias(this.#b, source, activation, weight, pointName(point));
  }

  /** The initializer that training changes, behind a mask where zeros stay. */
  #parameter(v: Value, kind: 'weight' | 'bias'): Value {
    const own = this.#copyOf(v);
    if (this.#weights.has(v)) return own;
    const values = v.data?.f32() ?? new Float32Array(0);
    const kept = kind === 'weight' && this.#options.keepZeros && values.includes(0);
    const mask = kept ? values.map((x) => (x === 0 ? 0 : 1)) : undefined;
    this.#weights.set(v, { parameter: { name: own.name, kind }, mask });
    if (!mask) return own;
    return this.#b.op('Mul', [own, this.#b.constant(Tensor.f32(mask, v.data?.dims))], { name: `${own.name}_masked` });
  }

  #rootOf(point: QuantPoint): QuantPoint {
    const spec = this.#planned.plan.get(point);
    return spec?.kind === 'shared' ? this.#rootOf(spec.with) : point;
  }

  #stepsOf(
    point: QuantPoint,
    v: Value,
    how: { readonly learnSize: boolean; readonly elements: number },
    params = this.#params.get(point),
  ): Steps {
    const root = this.#rootOf(point);
    const known = this.#steps.get(root);
    if (known) return known.steps;
    const { scales, steps: pace } = this.#options;
    const started = filled([params], 0); // the caller asked for points with parameters
    const activation = !v.isInitializer;
    const rank = this.#copyOf(v).shape ?? [];
    const request: StepsRequest = {
      name: pointName(root),
      params: started,
      dims: v.data?.dims ?? rank.map((d) => (typeof d === 'number' ? d : 1)),
      elements: how.elements,
      learnSize: how.learnSize,
      learnZero: how.learnSize && activation && scales === 'lsq+' && !started.scheme.symmetric,
      relative: pace === 'relative',
    };
    const steps = addSteps(this.#b, request);
    this.#steps.set(root, { point: root, steps, request });
    return steps;
  }

  #product(): FakeQuantized {
    const learned = [...this.#steps.values()].flatMap(({ steps: { learns } }): QatParameter[] => [
      ...(learns.size === undefined ? [] : [{ name: learns.size, kind: 'step size' as const }]),
      ...(learns.zero === undefined ? [] : [{ name: learns.zero, kind: 'zero point' as const }]),
    ]);
    const coded = [...this.#codings.values()].flatMap((c) => c.parameter ?? []);
    removeUnusedInitializers(this.#model.graph); // shared values take the place of their weights
    return {
      model: this.#model,
      parameters: [...[...this.#weights.values()].map((w) => w.parameter), ...learned, ...coded],
      constants: this.#constants,
      trained: (values) => this.#read(values),
    };
  }

  #read(values: ReadonlyMap<string, Tensor>): Trained {
    const weights = new Map<Value, Tensor>();
    for (const v of this.#given.graph.initializers) {
      const data = values.get(this.#copyOf(v).name);
      if (!data || !v.data) continue;
      const mask = this.#weights.get(v)?.mask;
      const kept = mask && Tensor.f32(data.f32().map((x, i) => x * (mask[i] ?? 1)));
      weights.set(v, (kept ?? data).reshaped(v.data.dims));
    }
    const params = new Map<QuantPoint, QuantParams>();
    for (const [point, before] of this.#params) {
      if (this.#planned.plan.get(point)?.kind === 'derived') continue;
      const found = this.#steps.get(this.#rootOf(point));
      params.set(point, found ? readSteps(found.steps, found.request, values) : withoutCodes(before));
    }
    const coded = new Map<QuantPoint, Coded>();
    for (const [point, found] of this.#codings) {
      const read = readCodedWeight(found, weights.get(found.weight), values);
      coded.set(point, read.coded);
      weights.set(found.weight, read.data);
    }
    return { weights, params, coded };
  }
}

function withoutCodes(params: QuantParams): QuantParams {
  const { codes: _codes, ...rest } = params;
  return rest;
}
function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const known = map.get(key);
  if (known) known.push(value);
  else map.set(key, [value]);
}
