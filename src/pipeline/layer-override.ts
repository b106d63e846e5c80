/** Settings of single layers, from recipes to planning. */
import type { Named } from '../base/named.js';
import type { Node } from '../ir/graph.js';
import type { LayerOverride, NamedOptions } from '../quantize/overrides.js';
import type { Recipe } from '../recipe/schema.js';

/** One entry of quantize.layers as planning takes it. */
export function overrideOf({
  match,
  activations: a,
  weights: w,
  coding: c,
}: Recipe['quantize']['layers'][number]): LayerOverride {
  const { observer: ao, granularity, ...activations } = a ?? {};
  const { observer: wo, method: m, ...weights } = w ?? {};
  const named = <T extends Named>({ name, ...options }: T): NamedOptions => ({ name, options });
  const observer = (o: Named | undefined): { observer?: string; observerOptions?: unknown } =>
    o ? { observer: o.name, observerOptions: named(o).options } : {};
  const present = <T extends object>(o: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
    Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)) as {
      [K in keyof T]: Exclude<T[K], undefined>;
    }; // the rest was filtered
  return {
    match,
    ...(a
      ? {
          activations: {
            ...present(activations),
            ...observer(ao),
            ...(granularity === undefined
              ? {}
              : {
                  perChannel: granularity === 'channel',
                  granularity:
                    granularity === 'channel' ? { kind: 'axis' as const, axis: 1 } : { kind: 'tensor' as const },
                }),
          },
        }
      : {}),
    ...(w ? { weights: { ...present(weights), ...observer(wo) } } : {}),
    ...(m ? { method: named(m) } : {}),
    ...(c ? { coding: named(c) } : {}),
  };
}

/** The weight method that the layers of a recipe give a node, of those that match it the last. */
export const methodAt = (
  n: Node,
  matched: ReadonlyMap<Node, readonly number[]>,
  layers: readonly LayerOverride[],
): LayerOverride['method'] =>
  matched
    .get(n)
    ?.map((i) => layers[i]?.method)
    .findLast((m) => m !== undefined);
