/**
 * In place of src/runtime/probe.ts where a test runs a hundred jobs on models that cannot crash the runtime: the same
 * answers from this process, for starting two more for each job is most of what a small job takes. The real one is
 * tested by test/rooms/runtime/probe.test.ts and used by bad-models.test.ts, faults.test.ts and all other runs.
 */
import * as ort from 'onnxruntime-node';
import type { Probe, Probed, ProbeOptions, Trouble } from '../../src/runtime/probe.js';

export async function probeModels(models: readonly Probed[], o: ProbeOptions = {}): Promise<Probe[]> {
  const found: Probe[] = [];
  for (const { file, feeds = [] } of models) {
    o.signal?.throwIfAborted();
    const shapes: Record<string, readonly number[]>[] = [];
    let at: Trouble['at'] = 'load';
    try {
      const session = await ort.InferenceSession.create(file, {
        executionProviders: ['cpu'],
        intraOpNumThreads: o.threads ?? 1,
        interOpNumThreads: 1,
        logSeverityLevel: 4,
      });
      at = 'run';
      const fetches = session.outputMetadata.filter((m) => m.isTensor).map((m) => m.name);
      for (const feed of feeds) {
        const tensors = session.inputNames.map((name) => {
          const { dtype, data, dims } = feed[name]!; // a feed has every input
          return [name, new ort.Tensor(dtype as 'float32', data as Float32Array, dims)] as const; // one of many types
        });
        const made = fetches.length ? await session.run(Object.fromEntries(tensors), fetches) : {};
        shapes.push(Object.fromEntries(Object.entries(made).map(([name, t]) => [name, [...t.dims]])));
      }
      await session.release();
      found.push({ shapes, trouble: undefined });
    } catch (error) {
      // gives one
      const message = (error instanceof Error ? error.message : String(error)).split('\n')[0]!.slice(0, 600);
      found.push({ shapes, trouble: { at, message, feed: at === 'run' ? shapes.length : undefined } });
    }
  }
  return found;
}
