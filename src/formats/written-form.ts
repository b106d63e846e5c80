import type { Node } from '../ir/graph.js';

/** How a node of a written model holds its weight; undefined for nodes that hold no quantized one of these forms. */
export const writtenForm = (n: Node): 'product' | 'table' | undefined =>
  n.domain !== 'com.microsoft'
    ? undefined
    : n.op === 'MatMulNBits'
      ? 'product'
      : n.op === 'GatherBlockQuantized'
        ? 'table'
        : undefined;
