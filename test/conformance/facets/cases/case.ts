/** Small graphs whose facts onnxruntime knows: what the facets of the operators are held against. */
import type { Shape } from '../../../../src/ir/graph.js';

export interface FacetCase {
  /** As ONNX text, from its inputs on; results of all nodes are looked at, whether the graph returns them or not. */
  readonly graph: string;
  /** 21 unless it is about another. */
  readonly opset?: number;
  /** What can be inferred of results whose sizes are in the data; undefined where not even the number of axes is. */
  readonly open?: Readonly<Record<string, Shape | undefined>>;
  /** Results that keep an unknown size only as long as the batch has none. */
  readonly whileSymbolic?: readonly string[];
  /** How many elements of integer results are known beforehand, at least: shape arithmetic. */
  readonly contents?: number;
}

/** Sizes of the symbols in the graphs. */
export const SIZES: Readonly<Record<string, number>> = { N: 2, S: 5 };

export const at =
  (opset: number) =>
  (graph: string, more: Omit<FacetCase, 'graph' | 'opset'> = {}): FacetCase => ({ graph, opset, ...more });
export const here = (graph: string, more: Omit<FacetCase, 'graph'> = {}): FacetCase => ({ graph, ...more });
