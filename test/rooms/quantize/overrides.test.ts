/** quantize.layers: what planning makes of settings of single layers. */
import { describe, expect, it } from 'vitest';
import { pointName } from '../../../src/quantize/planners/static.js';
import { merged } from '../../../src/quantize/overrides.js';
import type { QuantSpec } from '../../../src/scheme/types.js';
import { header, prepareText } from '../analyse/helpers.js';

const two =
  `${header}\ng (float[1,4] x) => (float[1,4] z) <float[4,4] w, float[4,4] v> { [first] h = MatMul(x, w)\n` +
  ` [act] a = Relu(h)\n [second] z = MatMul(a, v) }`;
async function specs(settings: string, format = 'qdq', text = two): Promise<Record<string, QuantSpec>> {
  const c = await prepareText(text, format, { settings });
  return Object.fromEntries([...c.planned.plan].map(([p, s]) => [pointName(p), s]));
}
const scheme = (s: QuantSpec | undefined): unknown =>
  s?.kind === 'observed'
    ? { dtype: s.scheme.dtype, bits: s.scheme.bits, granularity: s.scheme.granularity.kind, observer: s.observer }
    : s?.kind;

describe('quantize.layers', () => {
  it('changes the weights of the layers that it matches', async () => {
    const found = await specs(
      'layers: [ { match: second, weights: { dtype: int4, granularity: { block: 2 }, observer: mse } } ]',
    );
    expect(scheme(found.w)).toMatchObject({ dtype: 'int8', granularity: 'axis', observer: 'minmax' });
    expect(scheme(found.v)).toMatchObject({ dtype: 'int4', granularity: 'block', observer: 'mse' });
  });
  it('lets later entries win, key by key', async () => {
    const found = await specs(
      'layers: [ { match: "*", weights: { dtype: int4, observer: mse } }, { match: second, weights: { dtype: ' +
        'int8 } } ]',
    );
    expect(scheme(found.w)).toMatchObject({ dtype: 'int4', observer: 'mse' });
    expect(scheme(found.v)).toMatchObject({ dtype: 'int8', observer: 'mse' });
  });
  it('changes what a layer reads and makes, and leaves other activations', async () => {
    const found = await specs(
      'layers: [ { match: second, activations: { dtype: uint16, observer: { name: percentile, percentile: 99 } } } ]',
    );
    expect(scheme(found.x)).toMatchObject({ dtype: 'uint8', observer: 'minmax' });
    expect(scheme(found.a)).toMatchObject({ dtype: 'uint16', observer: 'percentile' });
    expect(found.a?.kind === 'observed' && found.a.observerOptions).toEqual({ percentile: 99 });
  });
  it('reaches the value behind ops that pass codes through', async () => {
    const pooled =
      `${header}\ng (float[1,4] x) => (float[2,2] z) <float[4,4] w, float[2,2] v, int64[2] s = {2, 2}> { [first] ` +
      `h = MatMul(x, w)\n r = Reshape(h, s)\n [second] z = MatMul(r, v) }`;
    const found = await specs('layers: [ { match: second, activations: { dtype: int8 } } ]', 'qdq', pooled);
    expect(found.r).toMatchObject({ kind: 'shared' });
    expect(scheme(found.h)).toMatchObject({ dtype: 'int8' });
  });
  it('raises the opset to what the entries need', async () => {
    const c = await prepareText(two, 'qdq', { settings: 'layers: [ { match: second, weights: { dtype: int4 } } ]' });
    expect(c.model.opsets.get('')).toBe(21);
    expect(c.diagnostics.map((d) => d.code)).toContain('NO_INTEGER_KERNEL');
  });
  it('holds for dynamic and stored weights too', async () => {
    expect(
      scheme((await specs('layers: [ { match: second, weights: { granularity: tensor } } ]', 'dynamic')).v),
    ).toMatchObject({ granularity: 'tensor' });
    const large =
      `${header}\ng (float[1,32] x) => (float[1,32] z) <float[32,32] w, float[32,32] v> { [first] h = MatMul(x, ` +
      `w)\n [second] z = MatMul(h, v) }`;
    const stored = await specs('layers: [ { match: second, coding: { name: integer, bits: 4 } } ]', 'coded', large);
    expect(stored.w).toMatchObject({ kind: 'coded', coding: 'float16' });
    expect(stored.v).toMatchObject({ kind: 'coded', coding: 'integer', options: { bits: 4 } });
  });
  it('refuses an entry that matches nothing, with the nearest name', async () => {
    await expect(specs('layers: [ { match: secnd, weights: { dtype: int4 } } ]')).rejects.toMatchObject({
      code: 'RECIPE_UNKNOWN_NAME',
      hint: expect.stringContaining('"second"'),
    });
  });
});

describe('merged', () => {
  it('drops the bits of another type', () => {
    const base = { dtype: 'int4', bits: 3 } as { dtype: string; bits?: number };
    expect(merged(base, [{ dtype: 'int8' }])).toEqual({ dtype: 'int8' });
    expect(merged(base, [{ dtype: 'int4' }])).toEqual({ dtype: 'int4', bits: 3 });
    expect(merged(base, [{ dtype: 'int8', bits: 6 }, undefined, {}])).toEqual({ dtype: 'int8', bits: 6 });
  });
});
