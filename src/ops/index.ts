import type { Node } from '../ir/graph.js';
import type { LinearView, LinkRule, Refit, Tie } from './facets.js';
import { attention, groupQueryAttention, multiHeadAttention, rotaryEmbedding, rotaryEmbeddingMs } from './attention.js';
import { contribOps } from './contrib.js';
import { controlOps } from './control.js';
import { conv, convTranspose, depthToSpace, fusedConv, spaceToDepth } from './conv.js';
import { elementwiseOps } from './elementwise.js';
import { expertOps } from './experts.js';
import { einsum, gemm, matMul } from './matmul.js';
import { recurrentCell } from './linear.js';
import { addends, operands, product, sloped } from './links.js';
import { normOps } from './norm.js';
import { averagePool, globalAveragePool, globalMaxPool, lpPool, maxPool, resize, upsample } from './pool.js';
import { quantized, quantOps } from './quant.js';
import { reduceOps } from './reduce.js';
import { shapeOps } from './shape.js';
import type { OpSpec } from './spec.js';

/** Every operator that the project knows. A new one is an entry in its family's file. */
export const ops: readonly OpSpec[] = [
  conv,
  fusedConv,
  convTranspose,
  depthToSpace,
  spaceToDepth,
  matMul,
  gemm,
  einsum,
  attention,
  rotaryEmbedding,
  rotaryEmbeddingMs,
  multiHeadAttention,
  groupQueryAttention,
  maxPool,
  averagePool,
  lpPool,
  globalAveragePool,
  globalMaxPool,
  resize,
  upsample,
  ...elementwiseOps,
  ...normOps,
  ...contribOps,
  ...expertOps,
  ...reduceOps,
  ...shapeOps,
  ...controlOps,
  ...quantOps,
];

const byDomain = new Map<string, Map<string, OpSpec>>();
for (const o of ops) byDomain.set(o.domain, (byDomain.get(o.domain) ?? new Map<string, OpSpec>()).set(o.op, o));

/** The spec of a node's operator, or undefined for operators that the project does not know. */
export const specOf = (node: Node): OpSpec | undefined => byDomain.get(node.domain)?.get(node.op);

/** Whether only quantized models have a node's operator. */
export const isQuantizedOp = (node: Node): boolean => specOf(node)?.quant === quantized;

/** The weights that a node multiplies, as matrices; none for nodes that multiply none, or in a way not known here. */
export function linearViews(node: Node): readonly LinearView[] {
  const rule = specOf(node)?.linear;
  const found = rule === undefined || rule === 'no' ? [] : rule(node);
  return 'because' in found ? [] : found;
}
/** Whether a node is a recurrent cell. */
export const isCell = (node: Node): boolean => specOf(node)?.linear === recurrentCell;
/** The view of a node's weight, where it has one only. */
export function linearView(node: Node): LinearView | undefined {
  const views = linearViews(node);
  return views.length === 1 ? views[0] : undefined;
}

/** All ties of a node. */
export function ties(node: Node): readonly Tie[] {
  const links = specOf(node)?.links;
  const rule = typeof links === 'object' ? links.rule : links;
  return rule === undefined || rule === 'opaque' ? [] : rule(node);
}
/** Ties by which channels are taken out, with the ways in which an axis may be cut. */
export function removalTies(node: Node): readonly Tie[] {
  const links = specOf(node)?.links;
  return typeof links === 'object' && links.removal ? links.removal(node) : ties(node);
}
/** What follows where a node says sizes in numbers; undefined for operators that say none. */
export function refitOf(node: Node): Refit | undefined {
  const links = specOf(node)?.links;
  return typeof links === 'object' ? links.refit : undefined;
}
/** Whether a node's operands are aligned from the right, and those of size 1 broadcast. */
export const isBroadcast = (node: Node): boolean => {
  const links = specOf(node)?.links;
  return typeof links === 'function' && ALIGNED.has(links);
};
const ALIGNED: ReadonlySet<LinkRule> = new Set([operands, addends, product, sloped]);
/** Ties through which scaling channels by positive factors passes. */
export const scalingTies = (node: Node): readonly Tie[] => ties(node).filter((t) => t.homogeneous);

/** Data inputs of an integer node: the ones that must be quantized for it to run in integers. */
export function dataInputs(n: Node): readonly number[] {
  const role = specOf(n)?.quant;
  switch (role?.role) {
    case 'compute':
      return role.activations.filter((i) => i !== role.weight || !n.inputs[i]?.isInitializer);
    case 'arithmetic':
      return role.inputs === 'all' ? n.inputs.map((_, i) => i) : role.inputs;
    case 'passthrough':
      return role.data === 'all' ? n.inputs.map((_, i) => i) : role.data;
    case 'clamp':
      return [0];
    default:
      return [];
  }
}
