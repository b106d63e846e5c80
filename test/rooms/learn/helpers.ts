import type { WeightMethod } from '../../../src/codes/types.js';
import { quantizeLayerwise } from '../../../src/codes/run.js';
import { cloneModel } from '../../../src/ir/clone.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { openModel } from '../../../src/runtime/open.js';
import { createRng } from '../../../src/base/rng.js';
import { prepareText, type Case } from '../analyse/helpers.js';

/** Feeds of one row of random numbers that hang together, as activations do. */
export function feedsOf(dims: readonly number[], count: number, seed: number): Feed[] {
  const rng = createRng(seed);
  return Array.from({ length: count }, () => {
    const common = rng.normal();
    const data = Float32Array.from({ length: dims.reduce((n, d) => n * d, 1) }, () => rng.normal() + common);
    return { x: { dtype: 'float32', dims: [1, ...dims], data } };
  });
}

export interface Made {
  readonly c: Case;
  readonly float: Model;
  readonly weights: readonly (readonly number[])[];
  readonly params: Awaited<ReturnType<typeof quantizeLayerwise>>['params'];
}
/** A model whose weights a method has chosen. */
export async function chosen<O>(
  text: string,
  feeds: readonly Feed[],
  settings: string,
  method: WeightMethod<O>,
  options: object,
  more: Partial<Parameters<typeof quantizeLayerwise>[0]> = {},
): Promise<Made> {
  const c = await prepareText(text, 'qdq', { settings, feeds });
  const reference = cloneModel(c.model);
  const { params } = await quantizeLayerwise({
    model: c.model,
    reference,
    planned: c.planned,
    packings: c.planned.packings,
    params: c.params,
    // as recipes hand them on: the type of the options forgotten
    method: method,
    methodOptions: method.options.parse(options),
    damping: 0.01,
    matchFloat: true,
    hasInputs: true,
    correctBias: true,
    correctScale: false,
    feeds: async function* () {
      for (const f of feeds) {
        await Promise.resolve();
        yield f;
      }
    },
    samples: feeds.length,
    threads: 1,
    report: () => undefined,
    ...more,
  });
  const weights = [...c.model.graph.initializers].map((v) => [...(v.data?.f64() ?? [])]);
  return { c, float: reference.model, weights, params };
}

/** Squared error of the first output over feeds. */
export async function errorOn({ c, float }: Made, feeds: readonly Feed[]): Promise<number> {
  const [a, b] = [await openModel(float), await openModel(c.model)];
  let sum = 0;
  for (const feed of feeds) {
    const [x, y] = [Object.values(await a.run(feed))[0], Object.values(await b.run(feed))[0]];
    for (let i = 0; i < (x?.data.length ?? 0); i++) sum += (Number(x?.data[i]) - Number(y?.data[i])) ** 2;
  }
  await a.close();
  await b.close();
  return sum;
}
