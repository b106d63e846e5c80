import { describe, expect, it } from 'vitest';
import { printNode } from '../../src/ir/text/print.js';
import { verify } from '../../src/ir/verify.js';
import { expected, readFixtures } from './fixture.js';
import { optimized, outputsOf, quantizeText, reference, worstSqnr, worstSteps, type Outputs } from './quantized.js';

/**
 * A fixture has `before` (ONNX text) and may have `quantize` (that part of a recipe), `formats` (default: qdq
 * qoperator),
 * `sqnr` (least signal to noise in dB, default 30), `steps` (greatest difference between formats, default 1) and `left`
 * (golden, where the runtime leaves something in float; the description says why). Placement is golden: UPDATE=1
 * rewrites it.
 */
const fixtures = readFixtures('formats');
/** 8 bits give about 40 dB for normal data in one op; errors of a chain add up, so 30 dB is left of it. */
const SQNR = 30;

describe.each(fixtures)('$name: $description', (f) => {
  const section = (name: string, fallback = ''): string => f.sections.get(name) ?? fallback;
  const formats = section('formats', 'qdq qoperator').split(/\s+/);
  const outputs: Record<string, Outputs> = {};

  it.each(formats)('%s: placed as written, valid, close to float', async (format) => {
    const q = await quantizeText(section('before'), format, section('quantize'));
    expect(verify(q.model)).toEqual([]);
    const placed = [
      ...q.model.graph.topological().map((n) => printNode(n)),
      `(${q.model.graph.inputs.map((v) => v.name).join(', ')}) => ` +
        `(${q.model.graph.outputs.map((v) => v.name).join(', ')})`,
    ].join('\n');
    expect(placed).toBe(expected(f, format, placed));

    const [float, quantized] = [await outputsOf(q.float, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')];
    outputs[format] = quantized;
    expect(Object.keys(quantized)).toEqual(Object.keys(float));
    expect(worstSqnr(float, quantized)).toBeGreaterThanOrEqual(Number(section('sqnr', String(SQNR))));

    if (format === 'qdq') {
      const { unfused, floatCompute } = await optimized(q);
      const left = [...unfused.map((n) => `${n} unfused`), ...floatCompute.map((n) => `${n} in float`)].sort();
      expect(left.join('\n')).toBe(f.sections.has('left') ? expected(f, 'left', left.join('\n')) : '');
      if (q.singleOp)
        expect(worstSteps(q, await reference(q), await outputsOf(q.model, q.feed, 'disabled'))).toBeLessThanOrEqual(
          1.001,
        ); // scales are float32
    }
  });

  it.runIf(formats.includes('qdq') && formats.includes('qoperator'))(
    'gives the same in both static formats',
    async () => {
      const q = await quantizeText(section('before'), 'qdq', section('quantize'));
      const steps = worstSteps(q, outputs['qdq']!, outputs['qoperator']!);
      expect(steps).toBeLessThanOrEqual(Number(section('steps', '1')) + 0.001);
    },
  );
});
