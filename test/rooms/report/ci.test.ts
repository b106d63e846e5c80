import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { renderAnnotations, renderJunit, renderModelCard, renderStepSummary } from '../../../src/report/index.js';
import { cut } from '../../../src/report/ci/step-summary.js';
import { failedGate, gate, makeRecord } from './record.js';

describe('JUnit XML', () => {
  it('has one case a rule, with the numbers in name and body', () => {
    expect(renderJunit(makeRecord(2), gate)).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="quantbench" tests="2" failures="0" errors="0" skipped="0" time="9.412">
  <testsuite name="int8-kl" tests="2" failures="0" errors="0" skipped="0" time="9.412" timestamp="2026-01-02T03:04:05.000Z">
    <properties>
      <property name="verdict" value="pass"/>
      <property name="against" value="float"/>
      <property name="confidence" value="95 %"/>
      <property name="model" value="demo.onnx"/>
      <property name="sha256" value="${'ab'.repeat(32)}"/>
      <property name="cpu" value="Example Xeon 2.1 GHz"/>
      <property name="onnxruntime" value="1.30.0"/>
      <property name="quantbench" value="0.1.0"/>
    </properties>
    <testcase name="accuracyDrop: top1 drops by 0.05 points, at most 0.41: inside of 0.50 points" classname="quantbench.int8-kl" file="recipes/int8-kl.yaml" time="0">
      <system-out>PASS: top1 drops by 0.05 points, at most 0.41: inside of 0.50 points&#10;observed 0.05 points, 95 % interval −0.31 to 0.41, limit 0.5 points, samples 2000, against float</system-out>
    </testcase>
    <testcase name="latencyRatio: p50 takes 0.45 × the time of float: below 0.80" classname="quantbench.int8-kl" file="recipes/int8-kl.yaml" time="0">
      <system-out>PASS: p50 takes 0.45 × the time of float: below 0.80&#10;observed 0.452 ×, 95 % interval 0.444 to 0.459, limit 0.8 ×, against float</system-out>
    </testcase>
  </testsuite>
</testsuites>
`);
  });
  it('tells rules that fail from undecided ones by type, and counts both', () => {
    const xml = renderJunit(makeRecord(2), failedGate);
    expect(xml).toContain('tests="3" failures="2" errors="0"');
    expect([...xml.matchAll(/<failure message="[^"]*" type="([^"]*)">/g)].map((m) => m[1])).toEqual([
      'gate-undecided',
      'gate-failed',
    ]);
    expect(xml).toContain('samples 2000, samples needed 11520, against float</failure>');
  });
  it('has an error for a run that broke off', () => {
    const xml = renderJunit(
      makeRecord(2, '', {
        outcome: 'failed',
        diagnostics: [{ severity: 'error', code: 'QUANTIZE_COLLAPSED', message: 'agrees on 14 %' }],
      }),
      gate,
    );
    expect(xml).toContain('tests="3" failures="0" errors="1"');
    expect(xml).toContain('<error message="agrees on 14 %" type="QUANTIZE_COLLAPSED"/>');
  });
  it('escapes markup and has no character that XML 1.0 forbids', () => {
    const rule = { ...gate.rules[0]!, text: '<a b="c">&\'\0\x07\x1b[31m\ufffe\uffff\ud800\n]]>' };
    const xml = renderJunit(makeRecord(2), { ...gate, rules: [rule] });
    expect(xml).toContain(
      'name="accuracyDrop: &#60;a ' +
        'b=&#34;c&#34;&#62;&#38;&#39;‹U+0000›‹U+0007›‹U+001B›[31m‹U+FFFE›‹U+FFFF›‹U+D800›&#10;]]&#62;"',
    );
    expect(xml).not.toMatch(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd]/);
  });
});

describe('the step summary', () => {
  it('has the verdict, the rules and the results', () => {
    const markdown = renderStepSummary(makeRecord(12), failedGate);
    expect(markdown.split('\n')[0]).toBe('## ✗ FAIL: int8-kl');
    expect(markdown).toContain(
      '**1 of 3 rules fails: sizeRatio; 1 of 3 rules cannot be decided: accuracyDrop (about 11,520 samples ' +
        'would do).** No certain change of top1',
    );
    expect(markdown).toContain('| accuracyDrop | ? **UNDECIDED** |');
    expect(markdown).toContain('| latency p50 | 0.761 ms | 0.342 ms | 2.21 × faster |');
  });
  it('stays within 1 MiB of UTF-8, cut at a line, and says so', () => {
    const rules = Array.from({ length: 500 }, (_, i) => ({
      ...failedGate.rules[1]!,
      name: `${i}${'語'.repeat(1900)}`,
      text: '語'.repeat(3000),
    }));
    expect(Buffer.byteLength(renderStepSummary(makeRecord(12), { ...gate, rules }))).toBeLessThanOrEqual(1024 * 1024);
    const lines = Array.from({ length: 100 }, (_, i) => `${i} 語語語\n`).join(''); // 12 or 13 bytes each
    const short = cut(lines, 200);
    expect(Buffer.byteLength(short)).toBeLessThanOrEqual(200);
    expect(short).toMatch(
      /^0 語語語\n(?:\d+ 語語語\n)*\d+ 語語語\n\n… cut off here: GitHub takes 1 MiB\. report\.md has all\.\n$/,
    );
    expect(cut(lines)).toBe(lines);
  });
});

describe('annotations', () => {
  it('are one line each: errors for what fails, warnings for what is undecided', () => {
    expect(renderAnnotations(makeRecord(2), failedGate))
      .toBe(`::error file=recipes/int8-kl.yaml,title=sizeRatio failed::the file has 0.28 × the bytes of float: above 0.25
::warning file=recipes/int8-kl.yaml,title=accuracyDrop is undecided::top1 drops by 0.05 points, between −0.31 and 0.41: 0.2 points lies inside
::warning file=recipes/int8-kl.yaml,title=DATA_IMAGE::left out: the JPEG ends early%0AonBadSample: fail stops instead
`);
    expect(renderAnnotations(makeRecord(2, '', { diagnostics: [] }), gate)).toBe('');
  });
  it('escape what would end a line, a property or the command', () => {
    const record = makeRecord(2, '', {
      diagnostics: [
        {
          severity: 'error',
          code: 'A,B:C',
          message: '100%\r\n::error::x',
          where: { file: 'a:b,c%.yaml', line: 3, column: 7 },
        },
      ],
    });
    expect(renderAnnotations(record, gate)).toBe(
      '::error file=a%3Ab%2Cc%25.yaml,line=3,col=7,title=A%2CB%3AC::100%25%0A::error::x\n',
    );
    expect(
      renderAnnotations(
        {
          ...record,
          recipe: { name: 'x', resolved: {}, yaml: '' },
          diagnostics: [{ severity: 'error', code: 'E', message: 'm\x1b' }],
        },
        gate,
      ),
    ).toBe('::error title=E::m‹U+001B›\n');
  });
  it('are ten of a kind at most, of which the last counts the rest', () => {
    const diagnostics = Array.from({ length: 25 }, (_, i) => ({
      severity: 'warning' as const,
      code: 'W',
      message: String(i),
    }));
    const lines = renderAnnotations(makeRecord(2, '', { diagnostics }), gate)
      .trimEnd()
      .split('\n');
    expect(lines).toHaveLength(10);
    expect(lines[8]).toBe('::warning file=recipes/int8-kl.yaml,title=W::8');
    expect(lines[9]).toBe('::warning title=quantbench::16 warnings more in report.md');
    expect(
      renderAnnotations(makeRecord(2, '', { diagnostics: diagnostics.slice(0, 10) }), gate)
        .trimEnd()
        .split('\n')[9],
    ).toMatch(/::9$/);
  });
});

describe('the model card', () => {
  const card = renderModelCard(makeRecord(12));
  const front = (markdown: string): unknown => parse(/^---\n([\s\S]*?)\n---\n/.exec(markdown)![1]!);
  it('has the front matter that the hub reads', () => {
    const record = makeRecord(12);
    expect(
      front(
        renderModelCard({
          ...record,
          evaluation: { ...record.evaluation!, data: { source: 'images', path: '../calibration-data/glyphs/test' } },
        }),
      ),
    ).toEqual({
      base_model: 'demo',
      base_model_relation: 'quantized',
      library_name: 'onnx',
      tags: ['onnx', 'onnxruntime', 'quantized', 'int8'],
      'model-index': [
        {
          name: 'demo int8-kl',
          results: [
            {
              task: { type: 'image-classification' },
              dataset: { name: 'glyphs/test', type: 'glyphs/test' },
              metrics: [{ type: 'accuracy', name: 'top1 (%)', value: 97.3 }],
            },
          ],
        },
      ],
    });
  });
  it('says what was done, how good it is, on what, its limits, and how to run it', () => {
    for (const title of ['What was done', 'Results', 'Hardware', 'Limits', 'How to run'])
      expect(card).toContain(`\n## ${title}\n`);
    expect(card).toContain('outputs = session.run(None, {"image": np.zeros([1,3,32,32], np.float32)})');
    expect(card).toContain('- Gate: PASS, both rules hold.');
    expect(card).toContain('- 2.7 % of the multiply-accumulates stay in float.');
  });
  it('keeps hostile names inside of YAML strings and code', () => {
    const record = makeRecord(2, '', {});
    const evil = 'x"\n---\n- evil: true\n```';
    const hostile = renderModelCard({
      ...record,
      recipe: { ...record.recipe, name: evil },
      model: {
        float: { ...record.model.float, name: `${evil}.onnx` },
        quantized: { ...record.model.quantized!, inputs: [{ name: evil, dtype: 'int64', shape: [null, 4] }] },
      },
    });
    expect(front(hostile)).toMatchObject({
      base_model: 'x"‹U+000A›---‹U+000A›- evil: true‹U+000A›```',
      library_name: 'onnx',
    });
    expect(hostile).toContain('````python\n');
    expect(hostile.match(/^---$/gm)).toHaveLength(2);
  });
  it('stands a run that measured nothing', () => {
    const { evaluation: _e, latency: _l, runtime: _r, calibration: _c, gate: _g, ...rest } = makeRecord(2);
    expect(front(renderModelCard(rest))).not.toHaveProperty('model-index');
    expect(renderModelCard(rest)).toContain('Accuracy was not measured.');
  });
});
