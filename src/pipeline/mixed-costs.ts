/** What each choice for a layer costs, in bits, bytes or time. */
import { filled, item, named } from '../base/lists.js';
import { createRng } from '../base/rng.js';
import { cloneModel } from '../ir/clone.js';
import { codesBytes } from '../formats/narrow-codes.js';
import { writeModel } from '../formats/write.js';
import { dtypeBits } from '../ir/dtype.js';
import type { Feed } from '../ir/feed.js';
import type { Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { uniqueLabels } from '../ir/labels.js';
import { loadModel } from '../onnx/files.js';
import { encodeModelPieces } from '../onnx/encode.js';
import { forgetInferred } from '../ops/infer.js';
import { specOf } from '../ops/index.js';
import { profilePair } from '../runtime/profile.js';
import { codings } from '../scheme/codings/index.js';
import { matrixOf } from '../scheme/codings/matrix.js';
import { macsByNode, nodeFacts } from '../facts/model.js';
import { atBatch, randomFeed } from './feeds.js';
import { bytesOnDisk } from './sources.js';
import type { MixedOptions, Priced, Version } from './mixed-types.js';

interface Allowed {
  /** What is not of a layer. */ readonly fixed: number;
  readonly allowed: number;
  /** Costs ÷ this are in the unit of the budget. */ readonly unit: number;
}

export const nodesByName = (model: Model): Map<string, Node> =>
  new Map([...uniqueLabels(model.graph.topological())].map(([n, name]) => [name, n]));

const sumOver = <T>(list: readonly T[], value: (x: T) => number): number => list.reduce((n, x) => n + value(x), 0);
const allNames = ({ name, others }: Priced): string[] => [name, ...others];

/** Sets the cost of each choice that a layer can take: the sum over the nodes that `names` gives of it. */
function setCosts(
  o: MixedOptions,
  versions: readonly (Version | undefined)[],
  layers: ReadonlyMap<string, Priced>,
  names: (layer: Priced) => readonly string[],
  cost: (name: string, node: Node, v: Version | undefined) => number,
): void {
  versions.forEach((v, i) => {
    const nodes = nodesByName(v?.model ?? o.model);
    for (const l of layers.values()) {
      const { loss } = item(l.choices, i); // one for each version
      const own = names(l).map((name) => ({ name, node: nodes.get(name) }));
      if (own.every((x) => x.node) && Number.isFinite(loss))
        l.choices[i] = { loss, cost: sumOver(own, ({ name, node }) => cost(name, node!, v)) }; // each has one
    }
  });
}

export function costBits(
  o: MixedOptions,
  versions: readonly (Version | undefined)[],
  layers: ReadonlyMap<string, Priced>,
  limit: number,
  example: Feed | undefined,
): Allowed {
  const macs = macsByNode(o.model, example);
  const total = sumOver([...layers.values()].flatMap(allNames), (name) => macs.get(name) ?? 0) || 1;
  const bits = (name: string, n: Node, v: Version | undefined): number =>
    ((macs.get(name) ?? 0) * (v ? bitsOf(n, v) : 32 * 32)) / total;
  setCosts(o, versions, layers, allNames, bits);
  return { fixed: 0, allowed: limit, unit: 1 };
}

/** Bytes of the weights; the rest of the file is found by writing it once. */
export function costBytes(
  o: MixedOptions,
  kind: 'sizeBytes' | 'sizeRatio',
  versions: readonly (Version | undefined)[],
  layers: ReadonlyMap<string, Priced>,
  limit: number,
): Allowed {
  const bytes = (_name: string, n: Node, v: Version | undefined): number => (v ? weightBytes(n, v) : floatBytes(n));
  setCosts(o, versions, layers, ({ name }) => [name], bytes);
  const at = versions.findIndex((v) => v !== undefined);
  const first = filled(versions, at); // the schema asks for two choices, and both cannot be float
  const nodes = nodesByName(first.model);
  const weights = sumOver([...layers.values()], (l) => {
    const { cost } = item(l.choices, at);
    return Number.isFinite(cost) ? cost : floatBytes(named(nodes, l.name));
  }); // layers are nodes of it
  const model = rewrite(o, first);
  forgetInferred(model);
  const fixed = encodeModelPieces(model).byteLength - weights;
  const float = bytesOnDisk(o.floatFile, loadModel(o.floatFile));
  return kind === 'sizeRatio' ? { fixed, allowed: limit * float, unit: float } : { fixed, allowed: limit, unit: 1 };
}

const floatBytes = (n: Node): number => 4 * (weightOf(n)?.data?.size ?? 0);

/** The stored weight of a layer. */
export function weightOf(n: Node): Value | undefined {
  const role = specOf(n)?.quant;
  const v = role?.role === 'compute' ? n.inputs[role.weight] : n.inputs[0];
  return v?.data ? v : undefined;
}

/** Bits of the weight × bits of the activation. */
function bitsOf(n: Node, { prepared, assigned }: Version): number {
  const w = weightOf(n);
  const of = (v: Value | null | undefined, index: number): number => {
    const use = n.use(index);
    const p = (use && assigned.params.get(use)) ?? (v ? assigned.params.get(v) : undefined);
    return p ? (p.scheme.bits ?? dtypeBits(p.scheme.dtype)) : 32;
  };
  const index = w ? n.inputs.indexOf(w) : -1;
  const activation = n.inputs.findIndex((v, i) => v !== null && i !== index);
  const weight = index < 0 ? 32 : of(w, index);
  return (
    weight *
    (prepared.format.plan === 'dynamic' && prepared.planned.integerNodes.has(n)
      ? 8
      : of(n.inputs[activation], activation))
  );
}

/** What the weight takes in the file: codes, scales, zero points, tables. */
function weightBytes(n: Node, { prepared, assigned }: Version): number {
  const w = weightOf(n);
  if (!w?.data) return 0;
  const spec = prepared.planned.plan.get(w);
  if (spec?.kind === 'coded') {
    const made = codings
      .find((c) => c.name === spec.coding)!
      .encode(matrixOf(w.data.f32(), w.data.dims, spec.axis), spec.options, createRng(0, 'rounding')); // planned
    return made.codes.byteLength + (made.scale?.byteLength ?? 0) + (made.levels?.byteLength ?? 0);
  }
  const use = n.use(n.inputs.indexOf(w));
  const p = assigned.params.get(w) ?? (use && assigned.params.get(use));
  if (!p) return 4 * w.data.size;
  return codesBytes(p.scheme, w.data.size) + p.scale.length * (4 + dtypeBits(p.scheme.dtype) / 8);
}

/** A choice as a model. */
function rewrite(
  o: MixedOptions,
  { model, prepared: { planned, format, target }, assigned: { params } }: Version,
): Model {
  return writeModel(format, { model, planned, params, seed: o.recipe.recipe.quantize.seed }, target).model;
}

/** Costs in µs, from onnxruntime's profile of each choice for all layers. */
export async function timeLayers(
  o: MixedOptions,
  versions: readonly (Version | undefined)[],
  layers: ReadonlyMap<string, Priced>,
  limit: number,
  example: Feed | undefined,
): Promise<Allowed> {
  const macs = macsByNode(o.model, example);
  const feed = atBatch(example ?? randomFeed(o.inputs, 0), o.inputs, 1);
  let fixed: number | undefined;
  let float = 0;
  for (const [i, v] of versions.entries()) {
    if (!v) continue;
    const nodes = nodeFacts(v.model, v.prepared.planned, macs);
    const float32 = cloneModel(v.model).model;
    const profile = await (o.profile ?? profilePair)({
      float: float32,
      quantized: rewrite(o, v),
      nodes,
      feed,
      runs: 50,
      threads: 1,
      signal: o.signal,
    });
    const times = new Map(profile.layers.map((l) => [l.node, l]));
    if (fixed === undefined) {
      float = profile.floatUs;
      fixed =
        profile.quantizedUs -
        sumOver([...layers.values()].flatMap(allNames), (name) => times.get(name)?.quantizedUs ?? 0);
      versions.forEach((x, k) => {
        if (!x)
          for (const l of layers.values())
            l.choices[k] = {
              loss: item(l.choices, k).loss,
              cost: sumOver(allNames(l), (name) => times.get(name)?.floatUs ?? 0),
            };
      }); // one for each version
    }
    for (const l of layers.values()) {
      const { loss } = item(l.choices, i);
      if (Number.isFinite(loss))
        l.choices[i] = { loss, cost: sumOver(allNames(l), (name) => times.get(name)?.quantizedUs ?? 0) };
    }
  }
  return { fixed: fixed ?? 0, allowed: limit * float, unit: float };
}
