/** Trained → trained, with weights that compress better, and how large the file is on its way before and after. */
import type { Codec } from '../../record/sent-bytes.js';
import { readFileSync, statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fail } from '../../base/errors.js';
import { bytesText } from '../../base/text.js';
import { layerShape } from '../../channels/layer.js';
import { cloneModel } from '../../ir/clone.js';
import type { Value } from '../../ir/graph.js';
import { loadModel } from '../../onnx/files.js';
import { encodeModel } from '../../onnx/encode.js';
import type { TransportFacts } from '../../record/index.js';
import type { Surroundings } from '../adjust.js';
import { measureLayers } from '../encode.js';
import type { Front } from '../front.js';
import { has } from '../stages.js';
import type { Together } from '../together.js';
import type { TrainedVariant } from '../variant/types.js';
import { quantizedModel } from '../variant/write.js';
import { compressedBytes, hasCodec, transportSizes } from './sizes.js';
import { cheapenable, withCheaper, type Cheapened, type Cheaper, type Seen } from './weights.js';

/** 30 dB: about what 8-bit activations cost. */
const ERROR = 1e-3;
/** Halvings of the price of a bit; each doubling of the price is about half a bit of a weight. */
const HALVINGS = 24;
/** Sizes are measured so often, where a share of the size is asked for. */
const PROBES = 10;

/** Those that ask for it, one after the other; the others stay as they are. */
export async function transportTogether(
  list: readonly TrainedVariant[],
  front: Front,
  all: Together,
): Promise<TrainedVariant[]> {
  const asked = list.filter((v) => has(v.asks, 'transport'));
  if (!asked.length) return [...list];
  const made = await all.stage('transport', async () => {
    const done = await all.each(asked, (v) => transportVariant(v, front, { report: v.report, ...all.listen }));
    return [done.map((d) => d.made), all.about(done.map((d) => d.line))];
  });
  return all.alive(list).map((v) => made.find((m) => m.index === v.index) ?? v);
}

/** Throws MODEL_LIMIT for models that no single file can hold, RECIPE_INVALID for a codec that Node lacks. */
async function transportVariant(
  v: TrainedVariant,
  { floatFile, original, inputs }: Front,
  listen: Omit<Surroundings, 'inputs'>,
): Promise<{ readonly made: TrainedVariant; readonly line: string }> {
  const settings = v.recipe.recipe.transport;
  const { codec = 'brotli', left } = settings ?? {};
  const error = settings?.error ?? (left === undefined ? ERROR : 0);
  if (!hasCodec(codec))
    fail(
      'RECIPE_INVALID',
      `this version of Node, ${process.versions.node}, has no ${codec}`,
      {},
      'it is in Node 22.15',
    );
  const whole = statSync(floatFile).size === original.bytes;
  const floatSizes = await transportSizes([whole ? readFileSync(floatFile) : encodeModel(loadModel(floatFile))]);
  const plainBytes = bytesOf(v);
  const plain = await transportSizes([plainBytes]);
  const same: TransportFacts = { codec, float: floatSizes, quantized: plain, weights: 0, error: 0 };
  if (error === 0 && left === undefined) return { made: { ...v, transport: same }, line: sizeText(same) };

  const seen = await measuredLayers(v, { inputs, ...listen });
  const all = cheapenable(v, seen);
  const before = plain[codec] ?? plain.raw;
  const at = (price: number): Map<Cheapened, Cheaper> => new Map(all.map((c) => [c, c.at(price)]));
  const sizeAt = async (price: number): Promise<number> => {
    const { made, restore } = withCheaper(v, at(price), seen);
    const bytes = bytesOf(made);
    restore();
    return compressedBytes(codec, bytes);
  };
  const price =
    left === undefined ? await dearest(all, error, listen.signal) : await cheapestFor(left * before, sizeAt);
  const chosen = at(price);
  // Training and layers are held against the model as it is now.
  const float = v.float === v.model ? cloneModel(v.model).model : v.float;
  const { made, restore } = withCheaper({ ...v, float }, chosen, seen);
  const quantized = await transportSizes([bytesOf(made)]);
  if ((quantized[codec] ?? quantized.raw) >= before) {
    restore();
    return { made: { ...v, transport: same }, line: sizeText(same) };
  }
  made.assigned.diagnostics.forEach(v.report);
  const transport: TransportFacts = {
    ...{ codec, float: floatSizes, plain, quantized, weights: all.length },
    error: meanOf(all, chosen),
  };
  return { made: { ...made, transport }, line: sizeText(transport) };
}

const bytesOf = (v: TrainedVariant): Uint8Array => encodeModel(quantizedModel(v, () => undefined).model);

/** Layers, and what their inputs are where the recipe names calibration data. */
async function measuredLayers(v: TrainedVariant, o: Surroundings): Promise<Seen> {
  const stored = v.prepared.planned.plan;
  const float = v.prepared.format.plan === 'half' || v.prepared.format.name === 'float';
  const wanted = (w: Value): boolean => w.data?.dtype === 'float32' && (float || stored.has(w));
  if (v.recipe.recipe.calibration.data) return measureLayers(v, wanted, 'transport', o);
  const shapes = v.model.graph.topological().flatMap((n) => layerShape(n) ?? []);
  return { layers: new Map(shapes.filter((l) => wanted(l.weight)).map((l) => [l.weight, l])), energies: new Map() };
}

const meanOf = (all: readonly Cheapened[], chosen: ReadonlyMap<Cheapened, Cheaper>): number =>
  all.reduce((n, c) => n + (chosen.get(c)?.error ?? 0) - c.at(0).error, 0) / Math.max(1, all.length);

/** Such as `brotli 239 kB → 171 kB, 28.4 % less`. */
function sizeText({ codec, float, plain, quantized, error }: TransportFacts): string {
  const of = (s: TransportFacts['float']): number => s[codec as Codec] ?? s.raw; // a codec of the recipe
  const now = bytesText(of(quantized));
  if (!plain) return `${codec} ${now}, ${(of(quantized) / of(float)).toFixed(2)} × float`;
  const less = (100 * (1 - of(quantized) / of(plain))).toFixed(1);
  return `${codec} ${bytesText(of(plain))} → ${now}, ${less} % less at ${(-10 * Math.log10(error)).toFixed(0)} dB`;
}

/** The price at which the mean error is as large as it may be. Signals and timers get their turn between weights. */
async function dearest(all: readonly Cheapened[], limit: number, signal: AbortSignal | undefined): Promise<number> {
  const starts = all.map((c) => c.at(0).error);
  const costAt = async (price: number): Promise<number> => {
    let sum = 0;
    for (const [i, c] of all.entries()) {
      await nextTurn();
      signal?.throwIfAborted();
      sum += c.at(price).error - (starts[i] ?? 0);
    }
    return sum / Math.max(1, all.length);
  };
  let [low, high] = [Math.log2(1e-15), 0];
  for (let i = 0; i < HALVINGS; i++) {
    const middle = (low + high) / 2;
    if ((await costAt(2 ** middle)) > limit) high = middle;
    else low = middle;
  }
  return 2 ** low;
}

/** The least price at which the size is no more than a limit; the highest where none is. */
async function cheapestFor(limit: number, sizeAt: (price: number) => Promise<number>): Promise<number> {
  let [low, high] = [Math.log2(1e-12), 0];
  for (let i = 0; i < PROBES; i++) {
    const middle = (low + high) / 2;
    if ((await sizeAt(2 ** middle)) > limit) low = middle;
    else high = middle;
  }
  return 2 ** high;
}
