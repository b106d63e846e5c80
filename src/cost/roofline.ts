/**
 * How long a model takes if each node is held up by arithmetic or by memory alone: Williams et al. 2009, CACM 52(4):65.
 */
import type { ModelCost, NodeCost } from './nodes.js';

/** Peak arithmetic in FLOP/s (2 for a multiply-accumulate) and memory bandwidth in bytes/s. */
export interface Device {
  readonly name: string;
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
}
export interface RooflineNode {
  readonly name: string;
  readonly seconds: number;
  readonly boundBy: 'compute' | 'memory';
  /** FLOPs ÷ byte. */ readonly intensity: number;
}

export interface Roofline {
  readonly device: Device;
  /** Intensity at which both take as long. */ readonly ridge: number;
  readonly seconds: number;
  readonly nodes: readonly RooflineNode[];
}

/** A lower bound: caches, launch costs and kernels below peak come on top. */
export function roofline(cost: ModelCost, device: Device): Roofline {
  const nodes = cost.nodes.map((n): RooflineNode => {
    const bytes = n.readBytes + n.writeBytes;
    const [compute, memory] = [n.flops / device.flopsPerSecond, bytes / device.bytesPerSecond];
    return {
      name: n.name,
      seconds: Math.max(compute, memory) * n.times,
      boundBy: compute > memory ? 'compute' : 'memory',
      intensity: intensityOf(n),
    };
  });
  return {
    device,
    ridge: device.flopsPerSecond / device.bytesPerSecond,
    seconds: nodes.reduce((sum, n) => sum + n.seconds, 0),
    nodes,
  };
}

/** FLOPs ÷ bytes moved; 0 where nothing is moved. */
export const intensityOf = (n: Pick<NodeCost, 'flops' | 'readBytes' | 'writeBytes'>): number =>
  n.readBytes + n.writeBytes ? n.flops / (n.readBytes + n.writeBytes) : 0;
