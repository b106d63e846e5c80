import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { withDistinctNames } from '../../../src/evaluate/choose.js';
import { evaluateModels } from '../../../src/evaluate/compare.js';
import { loadMetric } from '../../../src/evaluate/metric-module.js';
import { metrics } from '../../../src/evaluate/metrics/index.js';
import { batched, f32, open, sample } from './helpers.js';

const folder = mkdtempSync(path.join(tmpdir(), 'quantbench-metric-'));
let made = 0;
function put(text: string): string {
  const file = path.join(folder, `m${made++}.mjs`);
  writeFileSync(file, text);
  return file;
}
async function errorOf(run: () => unknown): Promise<QuantError> {
  try {
    await run();
  } catch (e) {
    if (e instanceof QuantError) return e;
    throw e;
  }
  throw new Error('nothing thrown');
}
const metric = (start: string, more = "name: 'own', unit: 'points', higherIsBetter: true,"): string =>
  put(`export const metric = { ${more} start(options, outputs) { ${start} } };`);

describe('a metric of the user', () => {
  it('scores both models, with an interval from its scores', async () => {
    const file = metric(
      'const scores = []; return { scores, add(sample, [out]) { scores.push(options.factor * ' +
        'out[outputs[0].name].data[0]); }, value() { return scores.reduce((a, b) => a + b, 0) / scores.length; } ' +
        '};',
    );
    const chosen = await loadMetric(file, { factor: 10 });
    const float = await open('g (float[N,2] x) => (float[N,2] y) { y = Identity(x) }');
    const candidate = await open('g (float[N,2] x) => (float[N,2] y) <float[1] s = {0.5}> { y = Sub(x, s) }');
    try {
      const samples = [1, 2, 3, 4].map((v, i) => sample([{ x: f32([v, 0]) }], undefined, `s${i}`));
      const found = await evaluateModels({
        float,
        candidates: [candidate],
        batches: batched(samples, float, 2),
        metrics: [chosen],
      });
      expect(found.candidates[0]!.metrics[0]).toMatchObject({
        name: 'own',
        unit: 'points',
        float: 25,
        quantized: 20,
        change: -5,
        higherIsBetter: true,
        interval: [expect.closeTo(-32.288, 2), expect.closeTo(25.621, 2)],
        paired: { kind: 'mean', float: [10, 20, 30, 40] },
      });
    } finally {
      await float.close();
      await candidate.close();
    }
  });
  it('may resample, and may be the default export', async () => {
    const file = put(
      "export default { name: 'd', unit: '%', higherIsBetter: false, start: () => ({ n: 0, add() { this.n++; " +
        '}, value() { return this.n; }, get count() { return this.n; }, resampled(at) { return at.length; } }) };',
    );
    const { metric: own, options } = await loadMetric(file, {});
    const a = own.start(options, []);
    for (let i = 0; i < 3; i++) a.add(sample([{}]), [{}]);
    expect([a.value(), a.count, a.resampled!(Uint32Array.of(0, 1)), a.correct, a.scores]).toEqual([
      3,
      3,
      2,
      undefined,
      undefined,
    ]);
  });
  it.each([
    ['no export', 'export const other = 1;', /no export named metric/],
    ['a syntax error', 'export const metric = {', /failed to load/],
    ['no name', 'export const metric = {};', /has no name/],
    ['a name with a line end', "export const metric = { name: 'a\\nb' };", /the name/],
    ['no unit', "export const metric = { name: 'a' };", /no unit/],
    ['no direction', "export const metric = { name: 'a', unit: 'x' };", /higherIsBetter/],
    ['no start', "export const metric = { name: 'a', unit: 'x', higherIsBetter: true };", /no function start/],
  ])('is refused with %s', async (_, text, message) => {
    const file = put(text);
    const error = await errorOf(() => loadMetric(file, {}));
    expect(error).toMatchObject({ code: 'DATA_MODULE', where: { file } });
    expect(error.message).toMatch(message);
  });
  it('is missing where there is no file', async () => {
    expect(await errorOf(() => loadMetric(path.join(folder, 'none.mjs'), {}))).toMatchObject({ code: 'DATA_MISSING' });
    expect(await errorOf(() => loadMetric(folder, {}))).toMatchObject({ code: 'DATA_MODULE' });
  });
  const ok = 'add() {}, value() { return 1; }';
  it.each([
    ['start throws', "throw new Error('no luck');", /start\(\).*no luck/],
    ['add is missing', 'return { value() {} };', /add is/],
    ['add throws', "return { value() {}, add() { throw new TypeError('bad'); } };", /add\(\).*'s9'.*bad/],
    ['add is async', "return { value() {}, async add() { throw new Error('late'); } };", /async/],
    ['value is NaN', 'return { add() {}, value() { return NaN; } };', /NaN/],
    ['value is text', "return { add() {}, value() { return '1'; } };", /a string/],
    ['correct holds 2', `return { ${ok}, correct: [0, 2] };`, /correct\[1\] is 2/],
    ['scores hold Infinity', `return { ${ok}, scores: [Infinity] };`, /scores\[0\] is Infinity/],
    ['scores is no list', `return { ${ok}, scores: 3 };`, /scores is a number/],
    ['resampled throws', `return { ${ok}, count: 1, resampled() { throw 1; } };`, /resampled/],
  ])('is told of when %s', async (_, body, message) => {
    const file = metric(body);
    const { metric: own, options } = await loadMetric(file, {});
    const error = await errorOf(() => {
      const a = own.start(options, []);
      a.add(sample([{}], undefined, 's9'), [{}]);
      return [a.value(), a.correct, a.scores, a.resampled?.(Uint32Array.of(0))];
    });
    expect(error).toMatchObject({ code: 'DATA_MODULE', where: { file } });
    expect(error.message).toMatch(message);
  });
});

describe('withDistinctNames', () => {
  const chosen = (name: string, options: object): { metric: (typeof metrics)[number]; options: unknown } => {
    const m = metrics.find((x) => x.name === name)!;
    return { metric: m, options: m.options.parse(options) };
  };
  it('tells metrics apart by the options that differ', () => {
    const names = withDistinctNames([
      chosen('map', {}),
      chosen('map', { iou: 0.5 }),
      chosen('f1', { average: 'micro' }),
      chosen('f1', {}),
      chosen('top1', {}),
    ]).map((c) => c.metric.name);
    expect(names).toEqual(['map', 'map iou=0.5', 'f1 average=micro', 'f1 average=macro', 'top1']);
  });
  it('refuses the same twice', async () => {
    expect(await errorOf(() => withDistinctNames([chosen('auc', {}), chosen('auc', {})]))).toMatchObject({
      code: 'RECIPE_INVALID',
    });
  });
});
