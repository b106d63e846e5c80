import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { RunRecord } from '../../../src/record/index.js';
import { renderHtml } from '../../../src/report/html.js';
import { renderMarkdown } from '../../../src/report/markdown.js';
import { code, text } from '../../../src/report/markdown/parts.js';
import { story } from '../../../src/report/story.js';
import { speedText, statements, summaryTable, verdict } from '../../../src/report/summary.js';
import { big, bytes, fixed, ms, real, signed, visible } from '../../../src/report/text.js';
import { failedGate, makeRecord } from './record.js';

const slower = (): RunRecord => {
  const r = makeRecord();
  return makeRecord(12, '', {
    gate: undefined,
    latency: {
      ...r.latency!,
      speedup: 0.71,
      speedupInterval: [0.69, 0.73],
      quantizedMs: { p50: 1.07, p90: 1.2, p99: 1.5, mean: 1.1 },
    },
    evaluation: {
      ...r.evaluation!,
      metrics: [{ ...r.evaluation!.metrics[0]!, quantized: 94.1, change: -3.25, interval: [-4.1, -2.4] }],
    },
  });
};

/** A record of a run that ended early. */
function bare(outcome: RunRecord['outcome']): RunRecord {
  const { schema, quantbench, startedAt, durationMs, recipe, environment, seeds, model } = makeRecord();
  return {
    schema,
    quantbench,
    startedAt,
    durationMs,
    outcome,
    recipe,
    environment,
    seeds,
    model: { float: model.float },
    stages: [],
    passes: [],
    points: [],
    nodes: [],
    diagnostics: [],
    files: [],
  };
}

describe('numbers and names', () => {
  it('show units, signs and digits that count', () => {
    expect([fixed(1234.5, 1), fixed(-0.001, 2), signed(0.3, 2), signed(-0.05, 2), signed(0, 2)]).toEqual([
      '1,234.5',
      '0.00',
      '+0.30',
      '−0.05',
      '0.00',
    ]);
    expect([bytes(999), bytes(330_000), bytes(1_180_000), bytes(999_700), big(12_500_000), big(7)]).toEqual([
      '999 B',
      '330 kB',
      '1.18 MB',
      '1.00 MB',
      '12.5 M',
      '7',
    ]);
    expect([ms(0.34211), ms(12.3456), ms(1234.5)]).toEqual(['0.342 ms', '12.35 ms', '1,235 ms']);
    expect([real(0), real(-1.23456), real(0.0000123), real(12345678), real(NaN), real(undefined)]).toEqual([
      '0',
      '−1.235',
      '1.23e−5',
      '1.23e7',
      '–',
      '–',
    ]);
    expect([speedText(2), speedText(0.5), speedText(1.001), speedText(NaN)]).toEqual([
      '2.00 × faster',
      '2.00 × slower',
      'as fast',
      '–',
    ]);
  });
  it('make what could deceive visible', () => {
    expect(visible('a\u202Egpj.exe')).toBe('a‹U+202E›gpj.exe');
    expect(visible('a\nb\0c\u200Bd\u{E0041}')).toBe('a‹U+000A›b‹U+0000›c‹U+200B›d‹U+E0041›');
    expect(visible('x'.repeat(1000), 20)).toHaveLength(20);
    expect(visible('שלום Conv')).toBe('שלום Conv');
  });
});

describe('the summary', () => {
  it('gives rows for the terminal', () => {
    expect(summaryTable(makeRecord()).map((r) => [r.metric, r.float, r.quantized, r.change])).toEqual([
      ['top1', '97.35 %', '97.30 %', '−0.05 points'],
      ['same answer', '–', '99.4 %', ''],
      ['output logits', '–', 'cosine 0.9992', 'SQNR 28.3 dB'],
      ['latency p50', '0.761 ms', '0.342 ms', '2.21 × faster'],
      ['latency p99', '0.970 ms', '0.440 ms', ''],
      ['file', '1.18 MB', '330 kB', '0.28 ×'],
      ['integer MACs', '–', '97.3 %', ''],
    ]);
  });
  it('says worse and slower first, in words', () => {
    const said = statements(slower());
    expect(said.map((s) => s.tone)).toEqual(['worse', 'worse', 'better']);
    expect(said[0]!.text).toBe('top1 is worse by 3.25 points (97.35 % → 94.10 %, 95 % CI −4.10 … −2.40)');
    expect(said[1]!.text).toBe('1.41 × slower (median 0.761 ms → 1.07 ms)');
    expect(verdict(slower())).toMatchObject({ tone: 'worse' });
    expect(verdict(slower()).text).toMatch(/^Top1 is worse by 3\.25 points.*; 1\.41 × slower.*; 3\.6 × smaller/);
  });
  it('does not call a change that the interval does not show better or worse', () => {
    expect(statements(makeRecord())[0]).toEqual({
      tone: 'unsure',
      text: 'no certain change of top1: −0.05 points (97.35 % → 97.30 %, 95 % CI −0.41 … +0.31)',
    });
  });
  it('puts NaN before everything else, and a larger file before what is better', () => {
    const r = makeRecord();
    const said = statements(
      makeRecord(12, '', {
        evaluation: {
          ...r.evaluation!,
          outputs: [{ ...r.evaluation!.outputs[0]!, nonFinite: { float: 0, quantized: 3 } }],
        },
        model: { ...r.model, quantized: { ...r.model.quantized!, bytes: 2_360_000 } },
      }),
    );
    expect(said[0]!.text).toBe('output logits has 3 more NaN or infinite values than in the float model');
    expect(said[1]!.text).toBe('2.00 × larger (1.18 MB → 2.36 MB)');
  });
  it('tells a failed run and one that measured nothing', () => {
    expect(
      verdict(
        makeRecord(2, '', {
          outcome: 'failed',
          diagnostics: [{ severity: 'error', code: 'QUANTIZE_COLLAPSED', message: 'int8 agrees on 14 %' }],
        }),
      ).text,
    ).toBe('The run failed: int8 agrees on 14 %');
    expect(verdict(bare('ok')).text).toBe('The model was quantized, but nothing was measured.');
  });
  it('says the verdict of a gate first', () => {
    expect(verdict(makeRecord()).text).toMatch(/^PASS: both rules hold\. No certain change of top1/);
    expect(verdict(makeRecord(12, '', { gate: failedGate }))).toMatchObject({ tone: 'worse' });
    expect(verdict(makeRecord(12, '', { gate: failedGate })).text).toMatch(
      /^FAIL: 1 of 3 rules fails: sizeRatio; 1 of 3 rules cannot be decided: accuracyDrop \(about 11,520 samples would do\)\. /,
    );
    expect(renderHtml(makeRecord(2, '', { gate: failedGate }))).toContain('✗ FAIL</span> <strong>1 of 3 rules fails');
  });
  it('tells what happened, and which node stayed float', () => {
    const told = story(makeRecord()).join(' ');
    expect(told).toContain('from 120 to 54 nodes (fold-batch-norm 19 ×, fold-shapes 6 ×)');
    expect(told).toContain(
      '11 of 12 nodes with multiply-accumulates run in integers (97.3 % of the multiply-accumulates)',
    );
    expect(told).toContain('1 node stayed float: /block5/conv1/Conv (excluded by the recipe)');
    expect(told).toContain('1 sample left out');
  });
});

const HOSTILE = '"><script>alert(1)</script>\'`\u202E|\n</style><!--${x}{{y}}';
describe('hostile names', () => {
  const page = renderHtml(hostile());
  it('never become markup in report.html', () => {
    // What is left after the page's own style and script: no tag or attribute that a name brought.
    const rest = page
      .replace(/<style>[\s\S]*?<\/style>/, '')
      .replace(
        /<script type="application\/json" id="data">[^<>&]*<\/script><script>[\s\S]*?<\/script><\/body>/,
        '</body>',
      );
    expect(rest).not.toMatch(/<script|<style|<img|<!--|javascript:|\son\w+=/i);
    expect(page.match(/<script/g)).toHaveLength(2);
    expect(page.match(/<\/script/g)).toHaveLength(2);
    expect(page).not.toMatch(/[\u202A-\u202E\u2066-\u2069]/);
    expect(page).toContain('‹U+202E›');
    expect(page).toContain('&#60;script&#62;alert(1)');
    expect(balanced(page)).toEqual([]);
  });
  it('never become Markdown or HTML in report.md', () => {
    const markdown = renderMarkdown(hostile());
    const outside = markdown.replace(/(?<![\\`])(`+)(?!`)[\s\S]*?(?<!`)\1(?!`)/g, '');
    expect(outside).not.toMatch(/(?<!\\)<|(?<!\\)\[[^\]]*(?<!\\)\]\(/);
    expect(markdown).not.toMatch(/[\u202A-\u202E]/);
    for (const line of markdown.split('\n').filter((l) => l.startsWith('| ') && l.includes('Conv')))
      expect([6, 8, 9]).toContain(line.replace(/\\\|/g, '').split('|').length); // four, six or seven columns
    expect(text('see http://evil.example, www.evil.example, @user #1 <b>')).toBe(
      'see http\\://evil.example, www\\.evil.example, \\@user \\#1 \\<b\\>',
    );
    expect(code('a``b|c')).toBe('``` a``b\\|c ```');
  });
});

describe('report.html', () => {
  const page = renderHtml(makeRecord());
  it('asks for nothing from outside and allows only its own style and script', () => {
    expect(
      page.replace(/ src="data:image\/png;base64,[A-Za-z0-9+/=]+"| href="#(?:layer-\d+|[a-z-]+)"/g, ''),
    ).not.toMatch(/\s(?:src|href|action)=|url\(|@import|fetch\(/);
    expect(page.replace("'http://www.w3.org/2000/svg'", '')).not.toMatch(/https?:/); // a name, not an address
    expect(page).not.toMatch(/\sstyle="|\son[a-z]+="/);
    const policy = /Content-Security-Policy" content="([^"]*)"/.exec(page)![1]!.replaceAll('&#39;', "'");
    const hash = (s: string): string => `'sha256-${createHash('sha256').update(s).digest('base64')}'`;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`style-src ${hash(/<style>([\s\S]*?)<\/style>/.exec(page)![1]!)}`);
    expect(policy).toContain(`script-src ${hash(/<script>([\s\S]*?)<\/script>/.exec(page)![1]!)}`);
    expect(policy).not.toContain('unsafe');
    expect(policy).toContain('img-src data:');
    expect(renderHtml(makeRecord(2, '', { evaluation: undefined }))).not.toContain('img-src');
  });
  it('shows every section, all nodes and tensors, and is the same on every call', () => {
    for (const title of [
      'What happened',
      'Results',
      'Gate',
      'Accuracy',
      'Latency',
      'Size',
      'Layers',
      'Sensitivity',
      'Graph',
      'Runtime',
      'Clean-up',
      'Diagnostics',
      'Recipe as resolved',
      'Provenance',
    ])
      expect(page).toContain(`<h2>${title}</h2>`);
    expect(page.match(/<tr id="layer-\d+">/g)).toHaveLength(12);
    expect(page.match(/<a href="#layer-\d+"/g)).toHaveLength(12);
    expect(page).toBe(renderHtml(makeRecord()));
    expect(balanced(page)).toEqual([]);
  });
  it('stays below 3 MB for 500 nodes', () => {
    expect(Buffer.byteLength(renderHtml(makeRecord(500)))).toBeLessThan(3e6);
    expect(Buffer.byteLength(renderMarkdown(makeRecord(500)))).toBeLessThan(65_536);
  });
  it('stands a record with little in it, and one whose numbers were lost in JSON', () => {
    expect(renderHtml(bare('failed'))).toContain('The run failed.');
    expect(renderMarkdown(bare('failed'))).toContain('**The run failed.**');
    const r = makeRecord();
    const lost = JSON.parse(
      JSON.stringify({
        ...r,
        latency: { ...r.latency, speedup: NaN },
        evaluation: { ...r.evaluation, outputs: [{ ...r.evaluation!.outputs[0], cosine: NaN, mse: NaN }] },
        points: r.points.map((p) => ({ ...p, min: [NaN], max: [Infinity] })),
      }),
    ) as RunRecord; // as a record read back from run.json
    expect(renderHtml(lost).replace(/<script>[\s\S]*/, '')).not.toMatch(/NaN|Infinity|undefined|null</);
    expect(renderMarkdown(lost)).not.toMatch(/NaN(?! or)|undefined/);
  });
});

describe('report.md', () => {
  it('has gate, classes, sensitivity and saturation, ten rows each', () => {
    const markdown = renderMarkdown(makeRecord(12, '', { gate: failedGate }));
    expect(markdown).toContain('✗ **FAIL** against float, at 95 % confidence.');
    expect(markdown).toContain('| sizeRatio | ✗ **FAIL** | the file has 0.28 × the bytes of float: above 0.25 |');
    expect(markdown).toContain('| `dog` | 500 | 97.0 % | 95.0 % | −2.0 points | 10 / 0 |');
    expect(markdown.indexOf('`dog`')).toBeLessThan(markdown.indexOf('`cat`'));
    expect(markdown).toContain('| `/block0/conv0/Conv` | `Conv` | 0.02 | 32.2 % |');
    expect(markdown).toContain('… and 2 layers more in report.html.');
    expect(markdown).toContain(
      'x64 CPUs without VNNI add pairs of products in 16 bits, and 2 of 12 integer layers can exceed them ' +
        '(/block0/conv0/Conv: 1.40 × what fits). quantize.weights.saturation: safe avoids it.**',
    );
    expect(markdown).toContain('Figures are of 2,000 samples; 500 other samples may have chosen between recipes.');
  });
});

/** The record of a model whose author put markup into every name. */
function hostile(): RunRecord {
  const poison = (value: unknown): unknown => {
    if (typeof value === 'string') return value.length > 2 && !KEEP.has(value) ? HOSTILE + value : value;
    if (Array.isArray(value)) return value.map(poison);
    if (value && typeof value === 'object')
      return Object.fromEntries(
        Object.entries(value).map(([k, v]) => [
          k.includes('image') || k.includes('Linear') ? HOSTILE + k : k,
          poison(v),
        ]),
      );
    return value;
  };
  return poison(makeRecord(4)) as RunRecord; // the same shape, with other strings
}
const KEEP = new Set([
  'pass',
  'fail',
  'undecided',
  'moves',
  'elsewhere',
  'observed',
  'derived',
  'activation',
  'weight',
  'bias',
  'integer',
  'float',
  'warning',
  'ok',
]);

/** Tags that are opened but not closed, or the other way round. */
function balanced(page: string): string[] {
  const open: string[] = [];
  const wrong: string[] = [];
  const markup = page.replace(/<(style|script)>[\s\S]*?<\/\1>/g, '').replace(/<!doctype html>/, '');
  for (const [, close, tag, rest] of markup.matchAll(/<(\/?)([a-z][a-z0-9]*)([^<>]*)>/g)) {
    if (['meta', 'br', 'input', 'img', 'wbr'].includes(tag!) || rest!.endsWith('/')) continue;
    if (!close) open.push(tag!);
    else if (open.pop() !== tag) wrong.push(tag!);
  }
  return [...wrong, ...open];
}

describe('findings that are alike', () => {
  const broken = (i: number) => ({
    severity: 'warning' as const,
    code: 'DATA_IMAGE',
    message: `'${i}.png' is left out: ${i} bytes are missing`,
    where: { sample: `${i}.png` },
    hint: 'copy it again',
  });
  const record = makeRecord(2, '', {
    diagnostics: [
      { severity: 'note', code: 'OPSET_RAISED', message: 'opset 12 → 13' },
      ...Array.from({ length: 40 }, (_, i) => broken(i)),
      { severity: 'warning', code: 'DATA_IMAGE', message: 'no image is left' },
    ],
  });
  const folded = 'and 39 more like it: 1.png, 2.png, 3.png, …';
  it('are one line of report.md, with their number and the first places, the worst first', () => {
    const lines = renderMarkdown(record)
      .split('\n')
      .filter((l) => /^- \*\*(warning|note|error)\*\*/.test(l));
    expect(lines).toEqual([
      `- **warning** \`DATA_IMAGE\` 0.png: '0.png' is left out: 0 bytes are missing (${folded}) – copy it again`,
      '- **warning** `DATA_IMAGE` no image is left',
      '- **note** `OPSET_RAISED` opset 12 → 13',
    ]);
  });
  it('are one of the list of report.html', () => {
    const page = renderHtml(record);
    expect(page.match(/<code>DATA_IMAGE<\/code>/g)).toHaveLength(2);
    expect(page).toContain(`<strong>${folded}</strong>`);
  });
});
