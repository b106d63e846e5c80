import { describe, expect, it } from 'vitest';
import { withoutGain } from '../../../src/pipeline/gain.js';
import { summaryLines } from '../../../src/cli/summary.js';
import { makeRecord } from '../report/record.js';

const base = makeRecord(3);
const sized = (ratio: number) => ({
  ...base.model,
  quantized: { ...base.model.quantized!, bytes: ratio * base.model.float.bytes },
}); // made with one
const timed = (speedup: number) => ({
  ...base.latency!,
  speedup,
  speedupInterval: [speedup * 0.98, speedup * 1.02] as const,
}); // as above

describe('withoutGain', () => {
  it('tells of a model that is neither smaller nor faster', () => {
    const told = withoutGain({ ...base, model: sized(1.04), latency: timed(0.8) }, { format: 'qdq' });
    expect(told).toMatchObject({ severity: 'warning', code: 'NO_GAIN' });
    expect(told!.message).toMatch(/1\.04 × the size .* 1\.25 × the time/);
    expect(told!.hint).toContain('coded');
    expect(withoutGain({ ...base, model: sized(1.04), latency: undefined }, { format: 'coded' })!.hint).not.toContain(
      'coded',
    );
  });
  it('says nothing where either was gained, or nothing was to be', () => {
    expect(withoutGain({ ...base, model: sized(0.5), latency: timed(0.8) }, { format: 'qdq' })).toBeUndefined();
    expect(withoutGain({ ...base, model: sized(1.04), latency: timed(1.3) }, { format: 'qdq' })).toBeUndefined();
    expect(withoutGain({ ...base, model: sized(1), latency: timed(1) }, { format: 'float' })).toBeUndefined();
  });
  it('is the last line on the terminal', () => {
    const told = withoutGain({ ...base, model: sized(1.04), latency: timed(0.8) }, { format: 'qdq' })!;
    const lines = summaryLines({ ...base, diagnostics: [...base.diagnostics, told] }, { colour: false });
    expect(lines.filter(Boolean).at(-1)).toContain('nothing was gained');
  });
});
