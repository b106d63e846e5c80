/** What kernels cannot take of the settings that a recipe gives, and what is planned instead. */
import type { Node, Value } from '../ir/graph.js';
import { scalingTies, specOf } from '../ops/index.js';
import { addsBorder } from '../ops/kinds.js';
import type { TargetProfile } from '../scheme/profile.js';
import type { ActivationSettings, LayerOverride, WeightSettings } from './overrides.js';

/** Whether some activations get a scale for each channel. */
export const hasChannelScales = (o: {
  readonly activations: ActivationSettings;
  readonly layers?: readonly LayerOverride[];
}): boolean => o.activations.perChannel || (o.layers ?? []).some((l) => l.activations?.perChannel);

/** Whether codes of a scale for each channel still belong to their channels behind a node that moves them. */
export function keepsChannels(n: Node): boolean {
  const [x, y] = [n.inputs[0], n.outputs[0]];
  if (addsBorder(n) || x?.shape?.[1] !== y?.shape?.[1]) return false; // one code cannot be the border of all channels
  const kept = scalingTies(n).find((t) => t.a.value === x && t.a.axis === 1 && t.b.value === y && t.b.axis === 1);
  return kept !== undefined && !kept.offset && (kept.repeat ?? 1) === 1;
}

/** Whether a product's weight has more axes than its kernel takes scales by channel of. */
export function isBatched(n: Node, { integerOps }: TargetProfile): boolean {
  const most = integerOps[n.op]?.channelAxes;
  const role = specOf(n)?.quant;
  const w = role?.role === 'compute' ? n.inputs[role.weight] : undefined;
  return most !== undefined && w?.isInitializer === true && (w.shape?.length ?? 0) > most;
}

/** The settings of a node's weight as its kernel takes them: of types without a kernel, as they are. */
export function kernelWeights(
  n: Node,
  settings: WeightSettings,
  target: TargetProfile,
  activation: (v: Value) => ActivationSettings,
): WeightSettings {
  if (settings.granularity !== 'channel' || !isBatched(n, target)) return settings;
  const x = n.inputs[0];
  const types = [settings.dtype, ...(x ? [activation(x).dtype] : [])];
  return types.every((t) => /^u?int8$/.test(t)) ? { ...settings, granularity: 'tensor' } : settings;
}
