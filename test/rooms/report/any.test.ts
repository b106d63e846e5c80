/** Reports must come out whatever a record holds: they are what a user has to find out what went wrong. */
import { describe, expect, it } from 'vitest';
import { createRng, type Rng } from '../../../src/base/rng.js';
import type { CompareRecord, GateFacts, RunRecord } from '../../../src/record/index.js';
import { runRecordSpec } from '../../../src/record/run.js';
import {
  renderAnnotations,
  renderCompareHtml,
  renderCompareMarkdown,
  renderHtml,
  renderJunit,
  renderMarkdown,
  renderModelCard,
  renderStepSummary,
} from '../../../src/report/index.js';
import { makeComparison } from './compare-record.js';
import { failedGate, makeRecord } from './record.js';

const everything = (record: RunRecord, gate: GateFacts): string[] => [
  renderHtml(record),
  renderMarkdown(record),
  renderModelCard(record),
  renderJunit(record, gate),
  renderStepSummary(record, gate),
  renderAnnotations(record, gate),
];
/** Where something shows that is no text for people, with what is around it. */
const slips = (page: string): string[] =>
  [
    ...page
      .replace(/<script>[\s\S]*?<\/script>/, '')
      .replace(/<style>[\s\S]*?<\/style>/, '')
      .matchAll(/.{0,60}(?:\bNaN\b(?! or)|\bInfinity\b|undefined|\[object).{0,20}/g),
  ].map((m) => m[0]);

/** The same with every number changed. */
function numbers<T>(value: T, change: (n: number) => number): T {
  if (typeof value === 'number') return change(value) as T; // a number stays one
  if (Array.isArray(value)) return value.map((v: unknown) => numbers(v, change)) as T; // arrays keep their shape
  return value && typeof value === 'object'
    ? (Object.fromEntries(Object.entries(value).map(([k, v]) => [k, numbers(v, change)])) as T)
    : value; // objects too
}

describe('any record', () => {
  const record = makeRecord(6, '', { gate: failedGate });
  it.each([
    ['NaN', NaN],
    ['Infinity', Infinity],
    ['-Infinity', -Infinity],
    ['zero', 0],
    ['minus one', -1],
    ['huge', 1e300],
    ['tiny', 1e-300],
  ])('of which every number is %s is rendered', (_, n) => {
    const bad = numbers(record, () => n);
    for (const text of everything(bad, bad.gate!)) expect(slips(text)).toEqual([]);
    const compared: CompareRecord = numbers(makeComparison(), () => n);
    for (const text of [renderCompareHtml(compared), renderCompareMarkdown(compared)]) expect(slips(text)).toEqual([]);
  });
  it('with any part left out or empty is rendered', () => {
    const small = makeRecord(2, '', { gate: failedGate }, { channels: 5 });
    const rng = createRng(11);
    let tried = 0;
    for (let i = 0; i < 25; i++) {
      const less = without(small, rng, 0.02 + 0.2 * rng.next());
      const checked = runRecordSpec.safeParse(less);
      if (!checked.success) continue;
      tried++;
      for (const text of everything(checked.data, failedGate)) expect(slips(text)).toEqual([]);
    }
    expect(tried).toBeGreaterThan(15);
  });
});

/** A record without some of its optional parts and with some of its lists empty; what the schema needs stays. */
function without(record: RunRecord, rng: Rng, share: number): unknown {
  const drop = (value: unknown, test: (smaller: unknown) => boolean): unknown => {
    if (Array.isArray(value))
      return rng.next() < share && test([])
        ? []
        : value.map((v: unknown, i) =>
            i < 3 ? drop(v, (x) => test(value.map((w: unknown, j) => (j === i ? x : w)))) : v,
          );
    if (!value || typeof value !== 'object') return value;
    let now: Record<string, unknown> = { ...value };
    for (const key of Object.keys(now)) {
      const { [key]: inner, ...rest } = now;
      if (rng.next() < share && test(rest)) now = rest;
      else now[key] = drop(inner, (x) => test({ ...now, [key]: x }));
    }
    return now;
  };
  return drop(record, (smaller) => runRecordSpec.safeParse(smaller).success);
}
