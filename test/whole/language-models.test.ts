/** Whole flows on language models of real shapes: init → quantize → evaluate → report. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { allGraphs } from '../../src/ir/model.js';
import { loadModel } from '../../src/onnx/files.js';
import { resolveRecipe } from '../../src/recipe/load.js';
import type { RunRecord } from '../../src/record/index.js';
import { runRecipe } from '../../src/pipeline/run.js';
import { renderHtml } from '../../src/report/index.js';
import { runCli as run } from '../rooms/cli/run-cli.js';
import { bert, mergedDecoder, soundEncoder, textEncoder } from '../rooms/language-models.js';
import { writeNpy } from '../rooms/pipeline/models.js';
import { tinyTexts, VOCABULARY } from '../rooms/tiny-decoder.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-language-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const { text, tokenizer } = tinyTexts(dir);
writeFileSync(path.join(dir, 'config.json'), '{"decoder_start_token_id": 0, "eos_token_id": 1}');
const words = (k: number, n: number): string =>
  Array.from({ length: n }, (_, j) => VOCABULARY[4 + ((k * 5 + j * (k + 2)) % 12)]).join(' ');
const pairs = path.join(dir, 'pairs.jsonl');
writeFileSync(
  pairs,
  Array.from({ length: 12 }, (_, k) => JSON.stringify({ source: words(k, 5), target: words(k + 3, 4) })).join('\n'),
);
const ops = (file: string): string[] =>
  [...allGraphs(loadModel(file).graph)].flatMap((g) => [...g.nodes].map((n) => n.op));
const metric = ({ evaluation }: RunRecord, name: string): { float: number; quantized: number } => {
  const found = evaluation?.metrics.find((m) => m.name === name);
  return { float: found?.float ?? NaN, quantized: found?.quantized ?? NaN };
};

describe('an encoder–decoder pair with a merged decoder', () => {
  const encoder = textEncoder(dir);
  const decoder = mergedDecoder(dir);
  const data = { text: pairs, tokenizer, fields: ['source', 'target'], encoder };
  const evaluation = { data, metrics: ['perplexity', 'kl', 'wer'], latency: { runs: 2, warmup: 0 } };

  it('has a first recipe, and runs without data', async () => {
    const recipe = path.join(dir, 'decoder.yaml');
    expect((await run('init', decoder, '--out', recipe)).code).toBe(0);
    const written = readFileSync(recipe, 'utf8');
    expect(written).toContain('# filled in  past_key_values_*_encoder_key (2): empty');
    expect(written).toContain('use_cache_branch: false');
    expect(
      (await run('--recipe', recipe, '--out', path.join(dir, 'none'), '--set', 'evaluation.latency=false')).code,
    ).toBe(0);
    expect((await run('optimize', decoder, '-o', path.join(dir, 'smaller.onnx'))).code).toBe(0);
    expect((await run('bench', decoder, '--runs', '2', '--warmup', '0')).code).toBe(0);
  });

  it.each(['weight-only', 'dynamic'] as const)(
    '%s: weights of both branches, accuracy, texts and a report',
    async (format) => {
      const out = path.join(dir, format);
      const weights =
        format === 'weight-only' ? { weights: { dtype: 'uint4' as const, granularity: { block: 32 } } } : {};
      const recipe = await resolveRecipe(
        {
          version: 1,
          model: decoder,
          quantize: { format, ...weights },
          evaluation: { ...evaluation, collapse: false },
        },
        { baseDir: dir, name: format },
      );
      const { record } = await runRecipe({ recipe, outDir: out, render: (r) => ({ 'report.html': renderHtml(r) }) });
      const kinds = ops(path.join(out, 'model.onnx'));
      // a decoder layer has ten products with weights; the branch with a cache has two fewer
      const products = kinds.filter((op) => op === (format === 'dynamic' ? 'MatMulInteger' : 'MatMulNBits')).length;
      expect(products).toBe(2 * 10 + 2 * 8 + 2);
      expect(metric(record, 'kl').float).toBe(0);
      expect(metric(record, 'perplexity').float).toBeGreaterThan(1);
      expect(metric(record, 'perplexity').quantized / metric(record, 'perplexity').float).toBeLessThan(1.5);
      expect(metric(record, 'wer').float).toBeGreaterThan(0); // random weights write no sense
      expect(record.generation).toMatchObject({ cached: true });
      expect(record.generation!.prompts.every((p) => p.promptTokens === 1)).toBe(true);
      expect(existsSync(path.join(out, 'report.html'))).toBe(true);
      expect(record.model.quantized!.bytes).toBeLessThan(record.model.float.bytes * 0.6);
    },
  );

  it('a Whisper-like pair reads features from files, and its encoder is quantized on them', async () => {
    const whisper = soundEncoder(dir);
    const manifest = path.join(dir, 'sounds.jsonl');
    const lines = Array.from({ length: 6 }, (_, k) => {
      writeNpy(path.join(dir, `sound${k}.npy`), [8, 20]);
      return JSON.stringify({ features: `sound${k}.npy`, text: words(k, 4) });
    });
    writeFileSync(manifest, lines.join('\n'));
    const spec = { text: manifest, tokenizer, fields: ['features', 'text'], encoder: whisper };
    const recipe = await resolveRecipe(
      {
        version: 1,
        model: decoder,
        quantize: { format: 'dynamic' },
        evaluation: { data: spec, metrics: ['wer', 'perplexity'], latency: false, collapse: false },
      },
      { baseDir: dir, name: 'whisper' },
    );
    const { record } = await runRecipe({ recipe, outDir: path.join(dir, 'whisper') });
    expect(record.evaluation?.samples).toBe(6);
    expect(metric(record, 'wer').float).toBeGreaterThan(0);
    const own = await resolveRecipe(
      {
        version: 1,
        model: whisper,
        quantize: { format: 'dynamic' },
        evaluation: { data: { npy: path.join(dir, 'sound0.npy'), batched: false }, latency: false },
      },
      { baseDir: dir, name: 'encoder' },
    );
    expect((await runRecipe({ recipe: own, outDir: path.join(dir, 'own') })).record.outcome).toBe('ok');
  });
});

it('BERT: text with segments through static int8', async () => {
  const recipe = await resolveRecipe(
    {
      version: 1,
      model: bert(dir),
      calibration: { data: { text, tokenizer, maxLength: 8 }, samples: 8, cache: false },
      quantize: { format: 'qdq' },
      evaluation: { data: { text, tokenizer, maxLength: 8 }, latency: false },
    },
    { baseDir: dir, name: 'bert' },
  );
  const { record } = await runRecipe({ recipe, outDir: path.join(dir, 'bert') });
  expect(record.evaluation!.outputs[0]!.cosine).toBeGreaterThan(0.95);
  expect(record.generation).toBeUndefined();
});
