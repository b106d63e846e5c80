import { item } from '../../base/lists.js';
import { label } from '../../ir/graph.js';
import { dataInputs, specOf } from '../../ops/index.js';
import { powerOfTwo } from '../../scheme/params.js';
import type { Pair } from '../pairs.js';
import type { LintContext, LintRule } from '../types.js';

/** Scales that are no constants, or not positive. */
export const scaleValues: LintRule = {
  name: 'scale-values',
  doc: 'Scales are constants above 0.',
  severity: 'error',
  applies: () => true,
  *check({ pairs }) {
    for (const { node, scale, zeroPoint } of pairs) {
      if (!scale) {
        yield { node, message: 'the scale is no constant', fix: 'quantize statically: scales are initializers then' };
        continue;
      }
      if (scale.f64().some((s) => !(s > 0) || !Number.isFinite(s)))
        yield { node, message: 'a scale is not a number above 0', fix: 'leave a constant tensor in float' };
      if (zeroPoint && zeroPoint.size !== scale.size)
        yield {
          node,
          message: `${scale.size} scales and ${zeroPoint.size} zero points`,
          fix: 'give one for each scale',
        };
    }
  },
};

/** Scales that are no powers of two. */
export const powersOfTwo: LintRule = {
  name: 'powers-of-two',
  doc: 'Scales are powers of two where kernels shift instead of multiplying.',
  severity: 'error',
  applies: ({ scales }) => scales === 'power-of-two',
  *check({ pairs }) {
    for (const { node, scale } of pairs) {
      const odd = scale?.f64().find((s) => s > 0 && powerOfTwo(s) !== s);
      if (odd !== undefined)
        yield { node, message: `the scale ${odd} is no power of two`, fix: `use ${powerOfTwo(odd)}` };
    }
  },
};

/** Several scales where one is to be, or along another axis than that of the channels. */
export const scaleAxes: LintRule = {
  name: 'scale-axes',
  doc: 'Activations have one scale; weights one, or one for each output channel.',
  severity: 'error',
  applies: () => true,
  *check({ pairs, target }) {
    for (const { node, scale, data, constant, axis, blocked, dtype } of pairs) {
      if (!scale || scale.size === 1 || dtype === 'int32') continue;
      const { granularity } = constant ? target.ports.weight : target.ports.activation;
      const kind = blocked ? 'block' : 'axis';
      if (!granularity.includes(kind)) {
        if (target.beyondPorts === 'float' && constant) continue;
        const has = constant ? 'weights' : 'activations';
        const fix = `${has} take one scale by ${granularity.join(' or ')}`;
        yield { node, message: `${scale.size} scales ${blocked ? 'of blocks' : `along axis ${axis}`}`, fix };
        continue;
      }
      if (blocked) continue;
      const dims = data.data?.dims;
      if (dims && dims[axis] !== scale.size)
        yield {
          node,
          message: `${scale.size} scales for axis ${axis} of [${dims.join(', ')}]`,
          fix: 'one for each channel',
        };
      for (const { node: reader, index } of node.outputs[0]?.uses ?? []) {
        const role = specOf(reader)?.quant;
        if (role?.role !== 'compute' || role.weight !== index || !dims) continue;
        const wanted = role.channelAxis(reader, dims.length);
        if (typeof wanted === 'number' && wanted !== axis)
          yield {
            node,
            message: `scales along axis ${axis}, and output channels of '${label(reader)}' lie on axis ${wanted}`,
            fix: `set axis to ${wanted}`,
          };
      }
    }
  },
};

const paramsOf = (p: Pair | undefined): readonly [number, number] | undefined =>
  p?.scale?.size === 1 ? [item(p.scale.f64(), 0), p.zeroPoint?.f64()[0] ?? 0] : undefined;

/** The pairs through which a node reads and hands on codes. */
function around(c: LintContext, node: LintContext['nodes'][number]): Pair[] {
  const before = dataInputs(node).flatMap((i) => {
    const p = node.inputs[i]?.producer;
    return (p && c.pairOf.get(p)) ?? [];
  });
  const after = node.outputs.flatMap((y) => [...y.uses].flatMap((u) => c.pairOf.get(u.node) ?? []));
  return [...before, ...after.filter((p) => p.kind === 'quantize')];
}

/** Inputs and outputs of other scales, where a kernel has one for all. */
export const sameScale: LintRule = {
  name: 'same-scale',
  doc: 'Inputs and outputs have one scale and zero point where the kernel only moves codes.',
  severity: 'error',
  applies: ({ sameScale: ops }) => (ops?.length ?? 0) > 0,
  *check(c) {
    for (const node of c.nodes) {
      if (!c.target.sameScale?.includes(node.op)) continue;
      const all = around(c, node).flatMap((p) => [paramsOf(p)].filter((x) => x !== undefined));
      const [first] = all;
      const other = first && all.find(([s, z]) => s !== first[0] || z !== first[1]);
      if (first && other)
        yield {
          node,
          message: `scales ${first[0]} and ${other[0]}, zero points ${first[1]} and ${other[1]}`,
          fix: 'give all of its tensors the scale that covers them',
        };
    }
  },
};

/** Outputs of other scales than the kernel gives. */
export const fixedOutputs: LintRule = {
  name: 'fixed-outputs',
  doc: 'Outputs have the scale and zero point that the kernel fixes.',
  severity: 'error',
  applies: ({ fixedOutputs: ops }) => Object.keys(ops ?? {}).length > 0,
  *check(c) {
    for (const node of c.nodes) {
      for (const y of node.outputs)
        for (const { node: reader } of y.uses) {
          const pair = c.pairOf.get(reader);
          const fixed = c.target.fixedOutputs?.[node.op]?.find((f) => f.dtype === pair?.dtype);
          const own = pair?.kind === 'quantize' ? paramsOf(pair) : undefined;
          if (!fixed || !own || (own[0] === Math.fround(fixed.scale) && own[1] === fixed.zeroPoint)) continue;
          const wanted = `scale ${fixed.scale}, zero point ${fixed.zeroPoint}`;
          yield {
            node,
            message: `scale ${own[0]}, zero point ${own[1]}; the kernel gives ${wanted}`,
            fix: `use ${wanted}`,
          };
        }
    }
  },
};
