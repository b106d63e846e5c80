/** The same prompts continued by the float model and by what was made of it. */
import { item } from '../base/lists.js';
import { continueGreedily, promptOf, whyNotGenerated, type Continued } from '../evaluate/generate.js';
import { isDecoder, rolesOf } from '../data/language/roles.js';
import type { ValueInfo } from '../ir/feed.js';
import type { GenerationFacts } from '../record/index.js';
import { Session } from '../runtime/session.js';
import { openData } from './calibration.js';
import type { LookInput } from './check.js';
import type { WrittenVariant } from './variant/types.js';

/** Whether both models of a run can be asked to continue texts, and are. */
export function generates({ recipe, inputs }: LookInput, outputs: readonly ValueInfo[]): boolean {
  const { generation, data } = recipe.recipe.evaluation;
  const spec = data ?? recipe.recipe.calibration.data;
  return (
    generation !== false &&
    (spec?.text ?? spec?.tokens) !== undefined &&
    spec?.choices === undefined &&
    isDecoder(inputs, outputs)
  );
}

/**
 * Continues prompts greedily with both, in turn, so that neither has the quieter machine; a model that cannot be run
 * token by token is told of, and nothing is measured. Throws MODEL_RUNTIME, and what reading data throws.
 */
export async function compareGeneration(o: LookInput, v: WrittenVariant): Promise<GenerationFacts | undefined> {
  const { evaluation, calibration } = o.recipe.recipe;
  const { generation: g, threads } = evaluation;
  const spec = evaluation.data ?? calibration.data;
  if (g === false || !spec) return undefined;
  const until = performance.now() + 1000 * g.seconds;
  const float = await Session.open(o.floatFile, { threads, spinning: false, label: 'the float model' });
  try {
    const refused = whyNotGenerated(o.inputs, float.outputs);
    if (refused !== undefined) {
      v.report({ severity: 'note', code: 'NOT_GENERATED', message: `no text was continued: ${refused}` });
      return undefined;
    }
    const quantized = await Session.open(v.folder.model, { threads, spinning: false, label: 'the quantized model' });
    try {
      const data = await openData(spec, o.inputs, o.recipe, () => undefined);
      const shown = (ids: readonly number[]): string => data.vocabulary?.decode(ids) ?? ids.join(' ');
      const prompts: GenerationFacts['prompts'][number][] = [];
      const times: [float: Continued, quantized: Continued][] = [];
      for await (const sample of data.samples({ limit: g.prompts })) {
        const started = promptOf(sample, o.inputs, g.promptTokens);
        if (!started || performance.now() > until) break;
        const how = { ...started, tokens: g.tokens, end: data.vocabulary?.endId, until, signal: o.signal };
        const models = [float, quantized].map((m) => () => continueGreedily(m, o.inputs, how));
        // the one that runs first changes each time
        const flipped = prompts.length % 2 === 1;
        const first = await item(models, flipped ? 1 : 0)();
        const second = await item(models, flipped ? 0 : 1)();
        const [f, q] = flipped ? [second, first] : [first, second];
        const tokens = Math.min(f.tokens.length, q.tokens.length);
        let same = 0;
        while (same < tokens && f.tokens[same] === q.tokens[same]) same++;
        times.push([f, q]);
        prompts.push({
          sample: sample.id,
          prompt: shown(started.prompt),
          promptTokens: started.prompt.length,
          float: shown(f.tokens),
          quantized: shown(q.tokens),
          tokens,
          same,
        });
      }
      if (!prompts.length) return undefined;
      const cached = [...rolesOf(o.inputs).values()].includes('past');
      const speedOf = (k: 0 | 1): GenerationFacts['speed']['float'] => {
        const prefill = median(times.map((t, i) => (1000 * item(prompts, i).promptTokens) / t[k].prefillMs)) ?? 0;
        const step = median(times.flatMap((t) => t[k].stepMs));
        return { prefill, ...(step === undefined ? {} : { decode: 1000 / step }) };
      };
      return { cached, threads, prompts, speed: { float: speedOf(0), quantized: speedOf(1) } };
    } finally {
      await quantized.close();
    }
  } finally {
    await float.close();
  }
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Such as `3 prompts · 41 of 96 tokens before the first difference · float 51, quantized 80 tokens/s`. */
export function generationText({ prompts, speed }: GenerationFacts): string {
  const sum = (of: (p: (typeof prompts)[number]) => number): number => prompts.reduce((n, p) => n + of(p), 0);
  const decode = [speed.float.decode, speed.quantized.decode].map((s) => s?.toFixed(0) ?? '–');
  return (
    `${prompts.length} prompts · ${sum((p) => p.same)} of ${sum((p) => p.tokens)} tokens before a first difference · ` +
    `float ${decode[0]}, quantized ${decode[1]} tokens/s`
  );
}
