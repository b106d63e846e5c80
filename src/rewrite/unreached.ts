/** Graphs that are asked for other outputs than they had. */
import type { Graph } from '../ir/graph.js';
import { removeUnused, removeUnusedInitializers } from './pass.js';

/** Takes all outputs away, so that others can be given. */
export function removeOutputs(graph: Graph): void {
  while (graph.outputs.length) graph.removeOutput(graph.outputs.length - 1);
}

/** Removes what no output depends on: nodes, initializers and inputs. */
export function removeUnreached(graph: Graph): void {
  removeUnused(graph, graph.topological().toReversed());
  dropUnread(graph);
}

/** Removes initializers and inputs that nothing reads. */
export function dropUnread(graph: Graph): void {
  removeUnusedInitializers(graph);
  graph.removeInputs(new Set(graph.inputs.filter((v) => !v.uses.size && !v.isGraphOutput)));
}
