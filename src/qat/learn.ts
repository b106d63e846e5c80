/** Training of a planned model as the integer model that it will be. */
import type { Model } from '../ir/model.js';
import type { Planned } from '../scheme/quantized.js';
import type { Assigned } from '../quantize/assign.js';
import { learn, type Learned, type LearnOptions } from '../train/learn.js';
import { parametersOf } from '../train/parameters.js';
import { withFakeQuant } from './fake-quant.js';
import type { FakeQuantOptions, Trained } from './types.js';

export interface LearnQuantizedOptions extends Omit<LearnOptions, 'model' | 'rounded'> {
  /** Planned; it stays as it is. */
  readonly model: Model;
  readonly planned: Planned;
  readonly assigned: Pick<Assigned, 'params'>;
  readonly fake: FakeQuantOptions;
}

/** Optimisers whose steps are as large as gradients are; the others step by the rate, whatever the gradient. */
const BY_GRADIENT: ReadonlySet<string> = new Set(['sgd']);

/** What is to be taken into the planned model, by takeTrained(). Throws what learn() and withFakeQuant() throw. */
export async function learnQuantized({
  model,
  planned,
  assigned,
  fake: options,
  ...o
}: LearnQuantizedOptions): Promise<{ readonly trained: Trained; readonly learned: Learned }> {
  const steps = BY_GRADIENT.has(o.settings.optimiser.name) ? 'gradient' : 'relative';
  const fake = withFakeQuant(model, planned, assigned.params, { steps, ...options });
  const there = new Set([...fake.model.graph.initializers].map((v) => v.name));
  const own = parametersOf(model, o.settings.freeze).filter((name) => there.has(name));
  const beside = fake.parameters.flatMap((p) => (p.kind === 'weight' || p.kind === 'bias' ? [] : [p.name]));
  const learned = await learn({
    ...o,
    model: fake.model,
    rounded: { parameters: [...own, ...beside], undecayed: beside, constants: fake.constants },
  });
  const values = new Map([...learned.model.graph.initializers].flatMap((v) => (v.data ? [[v.name, v.data]] : [])));
  return { trained: fake.trained(values), learned };
}
