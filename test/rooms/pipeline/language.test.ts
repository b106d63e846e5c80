/** A decoder through the pipeline without a list of inputs by hand. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { GenerationFacts } from '../../../src/record/index.js';
import { loadModel } from '../../../src/onnx/files.js';
import { inputInfo } from '../../../src/pipeline/inputs.js';
import { tinyDecoder, tinyTexts } from '../tiny-decoder.js';
import { runCli as run } from '../cli/run-cli.js';
import { writeModel } from './models.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-decoder-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const model = tinyDecoder(dir);
const { text, tokenizer } = tinyTexts(dir);
const json = (out: string): unknown => JSON.parse(out);

describe('a decoder with a cache', () => {
  it('has ids within its table, and sizes that only its nodes tell', () => {
    expect(inputInfo(loadModel(model)).map((i) => [i.name, i.below])).toEqual([
      ['input_ids', 16],
      ['attention_mask', undefined],
      ['past_key_0', undefined],
    ]);
    const vague = writeModel(
      path.join(dir, 'vague.onnx'),
      `g (int64[b,s] input_ids, float[b,heads,past,size] past_key_0) => (float[b,2,t,4] present_key_0)
        <float[5,8] e = {${Array(40).fill(0).join(',')}}, int64[4] by = {0, -1, 2, 4}> {
        h = Gather(e, input_ids) r = Reshape(h, by) k = Transpose<perm = [0, 2, 1, 3]>(r)
        present_key_0 = Concat<axis = 2>(past_key_0, k) }`,
    );
    expect(inputInfo(loadModel(vague))[1]!.shape).toEqual(['b', 2, 'past', 4]);
  });
  it('is timed, optimized and inspected', async () => {
    const timed = await run('bench', model, '--runs', '2', '--warmup', '0', '--json');
    expect(timed.code).toBe(0);
    expect(json(timed.out)).toMatchObject({
      inputShapes: { input_ids: [1, 32], attention_mask: [1, 32], past_key_0: [1, 1, 0, 32] },
    });
    expect(timed.err).toContain('a prompt of 32 random tokens with an empty cache');
    const given = await run(
      'bench',
      model,
      '--runs',
      '2',
      '--input-shape',
      'input_ids=1x1',
      '--input-shape',
      'past_key_0=1x1x9x32',
      '--json',
    );
    expect(json(given.out)).toMatchObject({ inputShapes: { attention_mask: [1, 10] } });
    expect((await run('optimize', model, '-o', path.join(dir, 'optimized.onnx'))).code).toBe(0);
    expect((await run('inspect', model)).out).toContain('past_key_0: empty');
  });
  it('is quantized without data', async () => {
    const recipe = path.join(dir, 'no-data.yaml');
    writeFileSync(
      recipe,
      `version: 1\nmodel: ${model}\nquantize: { format: dynamic }\nevaluation: { latency: false }\n`,
    );
    const ran = await run('--recipe', recipe, '--out', path.join(dir, 'no-data'), '--json');
    expect(ran.code).toBe(0);
    expect(json(ran.out)).toMatchObject({ outcome: 'ok' });
  });
  it('gets a first recipe that judges it by perplexity, and runs', async () => {
    const recipe = path.join(dir, 'first.yaml');
    expect((await run('init', model, '--data', text, '--out', recipe)).code).toBe(0);
    const written = readFileSync(recipe, 'utf8');
    expect(written).toContain('# filled in  past_key_0: empty');
    expect(parse(written)).toMatchObject({
      quantize: { format: 'weight-only' },
      evaluation: {
        data: { text: path.basename(text), tokenizer: path.basename(tokenizer) },
        metrics: ['perplexity', 'kl', 'top1-agreement'],
      },
    });
    const out = path.join(dir, 'first');
    const ran = await run('--recipe', recipe, '--out', out, '--set', 'evaluation.latency=false', '--json');
    expect([ran.code, ran.err]).toEqual([0, expect.anything()]);
    const { evaluation, generation } = json(ran.out) as {
      generation: GenerationFacts;
      evaluation: { samples: number; metrics: { name: string; float: number; quantized: number }[] };
    };
    const [perplexity, kl, same] = evaluation.metrics;
    expect([evaluation.samples, kl!.float, same!.float]).toEqual([24, 0, 100]);
    expect(perplexity!.float).toBeGreaterThan(4);
    expect(perplexity!.float).toBeLessThan(1000);
    expect(kl!.quantized).toBeGreaterThan(0);
    expect(kl!.quantized).toBeLessThan(1);
    expect(generation).toMatchObject({ cached: true, threads: 2 });
    expect(generation.prompts).toHaveLength(3);
    for (const p of generation.prompts) {
      expect([p.promptTokens, p.prompt.split(' ').length, p.same <= p.tokens]).toEqual([6, 6, true]);
      if (p.same < p.tokens) expect(p.float).not.toBe(p.quantized);
    }
    expect(generation.speed.float.prefill).toBeGreaterThan(0);
    expect(readFileSync(path.join(out, 'report.html'), 'utf8')).toContain('<h2>Generation</h2>');
    expect(readFileSync(path.join(out, 'report.md'), 'utf8')).toContain('## Generation');
    const gate = await run('gate', out, '--max-perplexity-increase', '50%');
    expect([gate.code, gate.out]).toEqual([0, expect.stringContaining('perplexity')]);
    expect((await run('gate', out, '--max-perplexity-increase', 'much')).code).toBe(2);
  });
  it('auto takes one limit', async () => {
    const recipe = path.join(dir, 'first.yaml');
    expect((await run('auto', '--recipe', recipe)).code).toBe(2);
    expect(
      (await run('auto', '--recipe', recipe, '--max-perplexity-increase', '1 %', '--max-accuracy-drop', '1%')).code,
    ).toBe(2);
    expect((await run('auto', '--recipe', recipe, '--max-perplexity-increase', 'a lot')).code).toBe(2);
  });
});
