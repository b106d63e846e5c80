/** A file's graph with what surrounds it, the walk over all its graphs, and names that none of them holds. */
import type { Attr, Graph } from './graph.js';

/** A model-local function. Its graph's inputs and outputs are the formal ones; attributes refer to it by 'ref'. */
export interface FunctionDef {
  readonly name: string;
  readonly domain: string;
  readonly overload: string;
  readonly graph: Graph;
  readonly attributes: readonly string[];
  readonly defaults: ReadonlyMap<string, Attr>;
  readonly opsets: ReadonlyMap<string, number>;
  readonly doc: string;
  readonly extra: unknown;
}

export interface Model {
  graph: Graph;
  irVersion: number;
  /** Opset version by domain; '' is the standard domain. */
  readonly opsets: Map<string, number>;
  readonly functions: FunctionDef[];
  readonly metadata: Map<string, string>;
  producerName: string;
  producerVersion: string;
  domain: string;
  modelVersion: bigint;
  doc: string;
  extra: unknown;
}

export function createModel(graph: Graph, opset: number, irVersion = 8): Model {
  return {
    graph,
    irVersion,
    opsets: new Map([['', opset]]),
    functions: [],
    metadata: new Map(),
    producerName: 'quantbench',
    producerVersion: '',
    domain: '',
    modelVersion: 0n,
    doc: '',
    extra: undefined,
  };
}

/** The main graph and every subgraph below it, outer before inner. */
export function* allGraphs(graph: Graph): Generator<Graph> {
  yield graph;
  if (graph.mayNest) for (const n of graph.nodes) for (const [, g] of n.subgraphs()) yield* allGraphs(g);
}

/**
 * Renames values of bodies that have the name of another value: siblings may share names, but names are what statistics
 * are kept by.
 */
export function distinguishBodies(root: Graph): void {
  const freeName = nameMaker(root);
  const seen = new Set<string>();
  for (const g of allGraphs(root)) {
    for (const v of [...g.inputs, ...g.initializers, ...[...g.nodes].flatMap((n) => n.outputs)]) {
      if (v.name && seen.has(v.name) && g !== root && !(g.isInput(v) && g.initializers.has(v)))
        v.name = freeName(v.name);
      seen.add(v.name);
    }
  }
}

/**
 * Names that we make keep the end of a longer one: converters of other frameworks give names of hundreds of letters, a
 * share of the file.
 */
const MADE_NAME = 48;

/** A function that gives names not taken anywhere in the model: `base`, `base_1`, … */
export function nameMaker(root: Graph): (base: string) => string {
  const taken = new Set<string>();
  for (const g of allGraphs(root)) {
    for (const v of [...g.inputs, ...g.initializers]) taken.add(v.name);
    for (const n of g.nodes) {
      if (n.name) taken.add(n.name);
      for (const o of n.outputs) taken.add(o.name);
    }
  }
  const next = new Map<string, number>(); // lower numbers are taken, and never become free again
  return (wanted) => {
    const base = wanted.length > MADE_NAME ? wanted.slice(-MADE_NAME) : wanted;
    let name = base;
    let i = next.get(base) ?? 1;
    for (; taken.has(name); i++) name = `${base}_${i}`;
    if (name !== base) next.set(base, i);
    taken.add(name);
    return name;
  };
}
