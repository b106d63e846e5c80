import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import type { Diagnostic } from '../../src/base/errors.js';
import { calibrate } from '../../src/calibrate/runner.js';
import type { TensorStats } from '../../src/calibrate/types.js';
import { batches } from '../../src/data/batch.js';
import { cloneModel } from '../../src/ir/clone.js';
import type { Feed, Sample } from '../../src/ir/feed.js';
import type { Value } from '../../src/ir/graph.js';
import type { Model } from '../../src/ir/model.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { Tensor } from '../../src/ir/tensor.js';
import { loadModel } from '../../src/onnx/files.js';
import { observedActivations } from '../../src/pipeline/calibration.js';
import { fedInputs } from '../../src/pipeline/inputs.js';
import { macsByNode, nodeFacts } from '../../src/facts/model.js';
import { randomFeed } from '../../src/pipeline/feeds.js';
import { optimizeModel, planModel, type Prepared } from '../../src/pipeline/prepare.js';
import { assignParams, observerOf } from '../../src/quantize/assign.js';
import { resolveRecipe } from '../../src/recipe/load.js';
import type { RecipeInput } from '../../src/recipe/schema.js';
import { describeOptimized, type OptimizedGraph, type PlannedNode } from '../../src/runtime/inspect-optimized.js';
import { openModel } from '../../src/runtime/open.js';
import { dequantize, fakeQuantize, weightCodes } from '../../src/scheme/arithmetic.js';
import { quantizeBias } from '../../src/scheme/bias.js';
import type { QuantParams, QuantPoint } from '../../src/scheme/types.js';

/** A small model before and after quantization. */
export interface Quantized {
  readonly float: Model;
  readonly model: Model;
  readonly prepared: Prepared;
  readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  readonly paramsByName: ReadonlyMap<string, QuantParams>;
  readonly nodes: readonly PlannedNode[];
  readonly diagnostics: readonly Diagnostic[];
  /** One of the calibration samples, so that no value is beyond its range. */
  readonly feed: Feed;
  readonly singleOp: boolean;
}

const SAMPLES = 4;

/** Takes a graph through the steps of a run, in memory: clean, plan, calibrate on random samples, assign, rewrite. */
export async function quantizeText(text: string, format: string, settings = ''): Promise<Quantized> {
  const model = parseModel(text, { randomInitializers: 1 });
  // the recipe's own schema checks it
  const quantize = { ...(settings ? (parse(settings) as object) : {}), format } as NonNullable<RecipeInput['quantize']>;
  const { recipe } = await resolveRecipe({
    version: 1,
    model: 'fixture.onnx',
    calibration: { data: { npy: 'x.npy' } },
    quantize,
  });
  const diagnostics: Diagnostic[] = [];
  const report = (d: Diagnostic): void => {
    diagnostics.push(d);
  };
  await optimizeModel(model, 'fixture.onnx', recipe.optimize, report);
  const { model: float } = cloneModel(model);
  const inputs = fedInputs(model);
  const prepared = planModel(model, recipe, report);
  const feeds = Array.from({ length: SAMPLES }, (_, i) => randomFeed(inputs, i + 1, 1));
  const samples = feeds.map((feed, i): Sample => ({ id: String(i), hash: String(i), feeds: [feed] }));
  const points = observedActivations(prepared.planned).map(([value, spec]) => ({
    value,
    observer: observerOf(spec.observer),
    options: recipe.quantize.activations.observer,
    ...(spec.axis === undefined ? {} : { axis: spec.axis }),
    ...(spec.infinite ? { infinite: true as const } : {}),
  }));
  const stats: ReadonlyMap<Value, TensorStats> =
    format === 'dynamic' || format === 'coded'
      ? new Map()
      : (
          await calibrate({
            model,
            points,
            onNonFinite: 'fail',
            sampling: { maxValuesPerSample: 8192, seed: 0 },
            batches: () => batches(samples, { size: 1, inputs }),
          })
        ).stats;
  const nodes = nodeFacts(model, prepared.planned, macsByNode(model, undefined));
  const { params } = assignParams(prepared.planned, stats, () => recipe.quantize.weights.observer);
  // an edge in a plan has a value
  const paramsByName = new Map([...params].map(([p, q]) => ['uses' in p ? p.name : p.node.inputs[p.index]!.name, q]));
  const integers = [...prepared.planned.integerNodes].length - prepared.planned.fusedClamps.size;
  prepared.format.rewrite({
    model,
    planned: prepared.planned,
    params,
    target: prepared.target,
    seed: recipe.quantize.seed,
    stats,
  });
  return {
    float,
    model,
    prepared,
    params,
    paramsByName,
    nodes,
    diagnostics,
    feed: feeds[0]!,
    singleOp: integers === 1 && float.graph.nodes.size === 1 + prepared.planned.fusedClamps.size,
  };
}

export type Outputs = Readonly<Record<string, Float64Array>>;
export async function outputsOf(model: Model, feed: Feed, optimization: 'all' | 'disabled'): Promise<Outputs> {
  const session = await openModel(model, { optimization, threads: 1 });
  try {
    return Object.fromEntries(
      Object.entries(await session.run(feed)).map(([k, t]) => [
        k,
        Float64Array.from(t.data as Iterable<number>, Number),
      ]),
    );
  } finally {
    await session.close();
  }
}

/** What onnxruntime makes of a model. */
export async function optimized(q: Quantized): Promise<OptimizedGraph> {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-test-'));
  try {
    const file = path.join(dir, 'optimized.onnx');
    await (await openModel(q.model, { saveOptimizedTo: file, threads: 1 })).close();
    return describeOptimized(loadModel(file).graph, q.nodes);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Signal to quantization noise in dB, the worst of all outputs. */
export function worstSqnr(float: Outputs, quantized: Outputs): number {
  return Math.min(
    ...Object.entries(float).map(([name, x]) => {
      let [signal, noise] = [0, 0];
      x.forEach((v, i) => {
        signal += v * v;
        noise += (v - quantized[name]![i]!) ** 2;
      });
      return noise === 0 ? Infinity : 10 * Math.log10(signal / noise);
    }),
  );
}

/**
 * Greatest difference of two outputs in quantization steps of each output: its scale, or 1/255 of its range where it
 * left in float.
 */
export function worstSteps(q: Quantized, a: Outputs, b: Outputs): number {
  return Math.max(
    ...Object.entries(a).map(([name, x]) => {
      const y = b[name]!;
      const scale = q.paramsByName.get(name)?.scale;
      const step = scale ? Math.max(...scale) : (Math.max(...x, 0) - Math.min(...x, 0)) / 255;
      return Math.max(...x.map((v, i) => Math.abs(v - y[i]!))) / (step || 1);
    }),
  );
}

/**
 * What a model of one integer node should give, without any Q or DQ of the runtime: fake-quantized inputs, weights and
 * outputs around the float op.
 */
export async function reference(q: Quantized): Promise<Outputs> {
  const { model } = cloneModel(q.float);
  for (const v of model.graph.initializers) {
    const p = q.paramsByName.get(v.name);
    const data = v.data;
    if (!p || !data) continue;
    v.data = Tensor.f32(
      p.scheme.dtype === 'int32'
        ? quantizeBias(data.f32(), p)
            .f64()
            .map((c, i) => c * p.scale[i % p.scale.length]!)
        : dequantize(weightCodes(data, p), p),
      data.dims,
    );
  }
  const feed = Object.fromEntries(
    Object.entries(q.feed).map(([name, t]) => {
      const p = q.paramsByName.get(name);
      // only float inputs have parameters
      return [name, p ? { ...t, data: fakeQuantize(t.data as Float32Array, t.dims, p) } : t];
    }),
  );
  const session = await openModel(model, { optimization: 'disabled', threads: 1 });
  try {
    return Object.fromEntries(
      Object.entries(await session.run(feed)).map(([name, t]) => {
        const p = q.paramsByName.get(name);
        const data = t.data as Float32Array; // the fixtures' outputs are float
        return [name, Float64Array.from(p ? fakeQuantize(data, t.dims, p) : data)];
      }),
    );
  } finally {
    await session.close();
  }
}
