import { allGraphs, type Model } from './model.js';

/**
 * Nodes in all graphs and functions of a model, as every count of nodes here means it: Constants are values, and are
 * not counted.
 */
export function countNodes(model: Pick<Model, 'graph' | 'functions'>): number {
  let count = 0;
  for (const root of [model.graph, ...model.functions.map((f) => f.graph)])
    for (const g of allGraphs(root)) for (const n of g.nodes) if (n.op !== 'Constant') count++;
  return count;
}
