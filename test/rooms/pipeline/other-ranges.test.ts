/** A second try with other ranges: when there is one, which is kept, and what is told. */
import { describe, expect, it } from 'vitest';
import { QuantError, type Diagnostic } from '../../../src/base/errors.js';
import { farFromFloat } from '../../../src/pipeline/gain.js';
import { bestOfRanges, type Try } from '../../../src/pipeline/other-ranges.js';
import { resolveRecipe, type ResolvedRecipe } from '../../../src/recipe/load.js';
import type { RunRecord } from '../../../src/record/index.js';
import { makeRecord } from '../report/record.js';

const base = makeRecord(3);
const evaluation = base.evaluation!; // it was made with one
const [output] = evaluation.outputs; // and with an output
/** A record whose worst output has this cosine. */
const near = (cosine: number): RunRecord => ({
  ...base,
  evaluation: { ...evaluation, agreement: undefined, outputs: [{ ...output!, cosine, parts: [] }] },
});
const recipe = async (quantize = {}, more = {}): Promise<ResolvedRecipe> =>
  resolveRecipe({ version: 1, model: 'm.onnx', calibration: { data: { npz: 'c' } }, quantize, ...more });
const collapsed = new QuantError('QUANTIZE_COLLAPSED', 'the quantized model has collapsed; no model was written');

interface Story {
  /** Observers that were tried, and whether what they gave was wanted. */
  readonly tries: (readonly [string, boolean?])[];
  readonly told: Diagnostic[];
  readonly cosine: number | undefined;
}
/** Runs with what each observer comes to. */
async function run(given: ResolvedRecipe, by: Readonly<Record<string, number | QuantError>>): Promise<Story> {
  const tries: Story['tries'] = [];
  const told: Diagnostic[] = [];
  const attempt = async ({ recipe: r, wanted }: Try): Promise<{ record: RunRecord }> => {
    const { name } = r.recipe.quantize.activations.observer;
    const came = by[name]!; // the tests name both
    if (came instanceof QuantError) {
      tries.push([name]);
      throw came;
    }
    const record = near(came);
    tries.push([name, wanted?.(record) ?? true]);
    return Promise.resolve({ record });
  };
  const { record } = await bestOfRanges(given, attempt, (d) => told.push(d));
  return { tries, told, cosine: record.evaluation?.outputs[0]?.cosine };
}

describe('bestOfRanges', () => {
  it('tries once where outputs are near', async () => {
    expect(await run(await recipe(), { minmax: 0.8 })).toEqual({ tries: [['minmax', true]], told: [], cosine: 0.8 });
  });
  it('keeps the better where they are far', async () => {
    const { tries, told, cosine } = await run(await recipe(), { minmax: 0.5, mse: 0.7 });
    expect([tries.map((t) => t.join(' ')), cosine]).toEqual([['minmax true', 'mse true'], 0.7]);
    expect(told).toMatchObject([{ severity: 'note', code: 'OTHER_RANGES' }]);
    expect(told[0]!.message).toMatch(/by minmax, .* 0\.500 .*: once more with mse/);
    const worse = await run(await recipe(), { minmax: 0.5, mse: 0.4 });
    expect([worse.tries.map((t) => t.join(' ')), worse.cosine]).toEqual([['minmax true', 'mse false'], 0.5]);
  });
  it('tries again what collapsed, and throws the first error where that collapses too', async () => {
    const { tries, told, cosine } = await run(await recipe(), { minmax: collapsed, mse: 0.3 });
    expect([tries.map((t) => t.join(' ')), cosine]).toEqual([['minmax', 'mse true'], 0.3]);
    expect(told[0]!.message).toContain('the quantized model has collapsed: once more');
    const both = run(await recipe(), { minmax: collapsed, mse: new QuantError('QUANTIZE_COLLAPSED', 'again') });
    await expect(both).rejects.toBe(collapsed);
  });
  it('leaves other errors alone', async () => {
    const broken = new QuantError('MODEL_RUNTIME', 'x');
    await expect(run(await recipe(), { minmax: broken })).rejects.toBe(broken);
    await expect(run(await recipe(), { minmax: 0.1, mse: broken })).rejects.toBe(broken);
  });
  it.each<[string, object, object]>([
    ['says how ranges are chosen', { activations: { observer: 'minmax' } }, {}],
    ['calibrates nothing', { format: 'dynamic' }, {}],
    ['trains', {}, { train: { steps: 1 } }],
  ])('tries once where the recipe %s', async (_, quantize, more) => {
    const { tries } = await run(await recipe(quantize, more), { minmax: 0.1 });
    expect(tries).toEqual([['minmax', true]]);
  });
});

describe('farFromFloat', () => {
  it('names the worst output, or the share on which both agree', () => {
    const told = farFromFloat(near(0.62), 'qdq');
    expect(told).toMatchObject({ severity: 'warning', code: 'FAR_FROM_FLOAT' });
    expect(told!.message).toContain(`'${output!.name}' has a cosine of 0.620`);
    expect(told!.hint).toContain('dynamic');
    const same = { same: 0.4, interval: [0.3, 0.5] as const };
    const few = { ...evaluation, agreement: { ...evaluation.agreement, ...same } };
    expect(farFromFloat({ evaluation: few }, 'dynamic')!.message).toContain('agrees with float on 40.0 %');
  });
  it('says nothing where outputs are near, or were not looked at', () => {
    expect(farFromFloat(near(0.81), 'qdq')).toBeUndefined();
    expect(farFromFloat({ evaluation: undefined }, 'qdq')).toBeUndefined();
  });
});
