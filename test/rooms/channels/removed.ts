/** Takes random channels of a model out, and holds what is left against the model in which nobody reads them. */
import { createRng } from '../../../src/base/rng.js';
import { familiesOf, lineOf } from '../../../src/channels/families.js';
import { channelUnits, removeChannels, type ChannelUnit } from '../../../src/channels/removal.js';
import { cloneModel } from '../../../src/ir/clone.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { assertValid } from '../../../src/ir/verify.js';
import { linearView } from '../../../src/ops/index.js';
import { forgetInferred, inferShapes } from '../../../src/ops/infer.js';
import { removeUnusedInitializers } from '../../../src/rewrite/pass.js';
import { openModel } from '../../../src/runtime/open.js';

export interface Removed {
  /** Of how many units how many went. */
  readonly gone: number;
  readonly of: number;
  /** Units whose channels a normalisation mixes with others: without them, its results are others. */
  readonly mixed: number;
  /** Greatest difference, as a share of the greatest result. */
  readonly apart: number;
}

/** Whether the weights of a normalisation over channels belong to a unit. */
export const isMixed = ({ cuts }: ChannelUnit): boolean =>
  cuts.some(({ constant }) => [...constant.uses].some(({ node }) => /^(Layer|RMS)Normalization$/.test(node.op)));

export async function removeAtRandom(model: Model, feed: Feed, seed: number): Promise<Removed> {
  inferShapes(model);
  const rng = createRng(seed, 'removed');
  const units = channelUnits(model);
  const gone = familiesOf(units).flatMap(({ units: own }) => {
    const share = rng.next();
    const drawn = own.filter(() => rng.next() < share);
    return drawn.length === own.length ? drawn.slice(1) : drawn;
  });
  const silent = cloneModel(model).model;
  silence(silent, gone);
  removeChannels(model, gone);
  removeUnusedInitializers(model.graph);
  forgetInferred(model);
  inferShapes(model);
  assertValid(model);
  const [was, is] = [await run(silent, feed), await run(model, feed)];
  const most = Math.max(1e-6, ...was.map(Math.abs));
  const apart = was.length === is.length ? Math.max(0, ...was.map((v, i) => Math.abs(v - is[i]!) / most)) : Infinity;
  return { gone: gone.length, of: units.length, mixed: gone.filter(isMixed).length, apart };
}

/** What reads the channels has weights of zero there: whatever they are, nothing changes without them. */
function silence(model: Model, gone: readonly ChannelUnit[]): void {
  const named = new Map([...model.graph.initializers].map((v) => [v.name, v]));
  for (const { cuts } of gone)
    for (const { constant, axis, index, makes } of cuts) {
      const reads = [...constant.uses].some(({ node, index: at }) => {
        const view = linearView(node);
        return view?.weight === at && view.kind !== 'scale' && axis === view.inputAxis;
      });
      if (makes || !reads) continue;
      const own = named.get(constant.name)!;
      const data = own.data!.f32().slice();
      const { outer, inner, stride, start } = lineOf(constant, axis, index);
      for (let o = 0; o < outer; o++) data.fill(0, o * stride + start, o * stride + start + inner);
      own.data = Tensor.f32(data, own.data!.dims);
    }
}

async function run(model: Model, feed: Feed): Promise<number[]> {
  const session = await openModel(model, { optimization: 'disabled' });
  try {
    const made = await session.run(feed);
    return Object.values(made).flatMap((t) => (t.dtype === 'float32' ? [...(t.data as Float32Array)] : []));
  } finally {
    await session.close();
  }
}
