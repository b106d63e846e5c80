import { describe, expect, it } from 'vitest';
import { saturationRisk } from '../../../src/analyse/saturation.js';
import { header, prepareText } from './helpers.js';

const avx2 = { arch: 'x64', cpuFeatures: ['avx2', 'avx512f'] };
const vnni = { arch: 'x64', cpuFeatures: ['avx2', 'avx512f', 'avx512_vnni'] };
const minmax = 'weights: { observer: minmax, saturation: allow }';
/**
 * Column 0: 127 + 127 of one sign. Column 1: 127 − 127. Column 2: 64 + 64 with scale 1, since its third row has 127,
 * alone.
 */
const product = (weights = '127, 127, 64,  127, -127, 64,  1, 1, 127'): string =>
  `${header}\ng (float[N,3] x) => (float[N,3] y) <float[3,3] w = {${weights}}> { [p] y = MatMul(x, w) }`;

describe('saturationRisk', () => {
  it('adds up two neighbours along the reduction axis, of one sign', async () => {
    const c = await prepareText(product(), 'qdq', { settings: minmax });
    const risk = saturationRisk({ ...c, environment: avx2 });
    expect(risk.risk).toBe('here');
    expect(risk.layers).toHaveLength(1);
    expect(risk.layers[0]).toMatchObject({ node: 'p', share: 1 / 3 }); // one pair a column; 64 + 64 = 128 fits
    expect(risk.layers[0]!.worst).toBeCloseTo((254 * 255) / 32767, 12);
  });

  it('says where: CPUs with VNNI or of another kind add in 32 bits', async () => {
    const c = await prepareText(product(), 'qdq', { settings: minmax });
    expect(saturationRisk({ ...c, environment: vnni }).risk).toBe('elsewhere');
    expect(saturationRisk({ ...c, environment: { arch: 'arm64', cpuFeatures: ['neon', 'dotprod'] } }).risk).toBe(
      'elsewhere',
    );
  });

  it('holds for activations that are quantized at run time', async () => {
    const c = await prepareText(product(), 'dynamic', { settings: minmax });
    expect(saturationRisk({ ...c, environment: avx2 }).layers.map((l) => l.node)).toEqual(['p']);
  });

  it('holds for signed activations, which onnxruntime turns into unsigned ones', async () => {
    const c = await prepareText(product(), 'qdq', {
      settings: `activations: { dtype: int8, symmetric: true }\n${minmax}`,
    });
    expect(saturationRisk({ ...c, environment: avx2 })).toMatchObject({ risk: 'here', layers: [{ node: 'p' }] });
  });

  it.each([
    ['opposite signs', product('127, 127, 64,  -127, -127, 64,  1, 1, 127'), minmax],
    ['unsigned weights', product(), 'weights: { dtype: uint8, observer: minmax, saturation: allow }'],
    ['4-bit weights', product(), 'weights: { dtype: int4, observer: minmax }'],
  ])('is none with %s', async (_name, text, settings) => {
    const c = await prepareText(text, 'qdq', { settings });
    expect(saturationRisk({ ...c, environment: avx2 })).toMatchObject({ risk: 'none', layers: [] });
  });

  it('pairs input channels of one kernel position in a convolution, and leaves depthwise ones out', async () => {
    // Two channels, two positions: (c0, c1) at position 0 is (127, 127), at position 1 (127, −127).
    const conv = (weights: string, group: number): string =>
      `${header}\ng (float[N,2,1,4] x) => (float[N,${group},1,3] y) <float[${group},${2 / group},1,2] w = ` +
      `{${weights}}> { [c] y = Conv<group=${group}>(x, w) }`;
    const risk = async (text: string) =>
      saturationRisk({ ...(await prepareText(text, 'qdq', { settings: minmax })), environment: avx2 });
    expect(await risk(conv('127, 127, 127, -127', 1))).toMatchObject({
      risk: 'here',
      layers: [{ node: 'c', share: 0.5 }],
    });
    expect(await risk(conv('127, -127, 1, 127', 1))).toMatchObject({ risk: 'none' }); // 127 + 1 fits
    expect(await risk(conv('127, 127, 127, 127', 2))).toMatchObject({ risk: 'none' });
  });

  it('a depthwise convolution with two outputs a channel is a product like others: pairs lie along its positions', async () => {
    const text =
      `${header}\ng (float[N,2,1,4] x) => (float[N,4,1,3] y) <float[4,1,1,2] w = {127, 127, 1, 127, 127, -127, ` +
      '1, 127}> { [c] y = Conv<group=2>(x, w) }';
    const risk = saturationRisk({ ...(await prepareText(text, 'qdq', { settings: minmax })), environment: avx2 });
    expect(risk).toMatchObject({ risk: 'here', layers: [{ node: 'c', share: 0.25 }] });
  });
});
