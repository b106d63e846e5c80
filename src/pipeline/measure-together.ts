/** Written → measured: accuracy in one pass over the samples, then layers, kernels and latency. */
import { statSync } from 'node:fs';
import { named } from '../base/lists.js';
import type { Feed } from '../ir/feed.js';
import type { GenerationFacts, LayerErrors, RuntimeFacts, Sensitivity } from '../record/index.js';
import { inspectOptimized, type KernelOf } from '../runtime/inspect-optimized.js';
import { analyseKernels, analyseLayers, layersText, type AnalysisData } from './analysis.js';
import { evaluateAll, type Checked, type CheckInput, type SearchOnly } from './check.js';
import { severalSimulated } from './passes-over.js';
import { modelClasses } from './classes.js';
import { compareGeneration, generates, generationText } from './generation.js';
import type { Front } from './front.js';
import { isTooLarge, openedFor } from './large.js';
import { checkLarge } from './large-check.js';
import { has } from './stages.js';
import type { Together } from './together.js';
import { timeAll } from './time.js';
import { twinsOf } from './twins.js';
import type { MeasuredVariant, WrittenVariant } from './variant/types.js';

interface MeasureOptions {
  readonly front: Front;
  readonly all: Together;
  /** Samples to look into layers with, where something is looked into. */
  readonly looked: AnalysisData | undefined;
  readonly sensitivities: ReadonlyMap<number, Sensitivity>;
  /** Those that calibrated. */
  readonly samples: CheckInput['calibrationSamples'];
  /** Whether kernels are looked into. */
  readonly detail: boolean;
  readonly searchOnly: SearchOnly | undefined;
}
type Inspected = { readonly runtime: RuntimeFacts; readonly kernels: readonly KernelOf[] };

type MeasuredTogether = { readonly measured: MeasuredVariant[]; readonly overlap: Checked['overlap'] };

/** Files that are equal are measured once. */
export async function measureTogether(
  written: readonly WrittenVariant[],
  o: MeasureOptions,
): Promise<MeasuredTogether> {
  const twins = twinsOf(o.all.alive(written));
  const before = new Map(written.map((v) => [v, v.diagnostics.length]));
  const { measured, overlap } = await measureEach(
    written.filter((v) => !twins.has(v)),
    o,
  );
  const more = await o.all.each([...twins.keys()], (v): MeasuredVariant => {
    const first = named(twins, v);
    const error = o.all.errorOf(first);
    if (error) throw error; // it is the same file
    first.diagnostics.slice(before.get(first)).forEach(v.report);
    const own = present('sensitivity', o.sensitivities.get(v.index));
    const shared = measured.find((m) => m.index === first.index)?.measured;
    return { ...v, measured: { ...shared, ...own } };
  });
  return { measured: [...measured, ...more].sort((a, b) => a.index - b.index), overlap };
}

async function measureEach(written: readonly WrittenVariant[], o: MeasureOptions): Promise<MeasuredTogether> {
  const { front, all } = o;
  const { bytes } = front.original;
  const whole = !isTooLarge(bytes, front.lead.recipe);
  const sizes = { bytes, fileBytes: statSync(front.floatFile).size };
  const opened = whole ? 'together' : openedFor(sizes, front.lead.recipe);
  const check: CheckInput = {
    floatFile: front.floatFile,
    recipe: front.lead,
    inputs: front.inputs,
    calibrationSamples: o.samples,
    report: all.report,
    attempt: all.attempt,
    alive: (list) => all.alive(list),
    searchOnly: o.searchOnly,
    classNames: modelClasses(front.scores),
    inTurns: opened === 'in turns',
    ...all.listen,
  };
  const checked = await all.stage('evaluate', async () => {
    if (opened === 'never') return checkAll(check, written, all);
    const c = await evaluateAll(check, written);
    return [c, c.samples === undefined ? 'loaded and ran' : `${c.samples} samples`];
  });
  const layers = await measureLayers(written, o);
  const inspected = whole ? await verify(written, checked, o) : new Map<number, Inspected>();
  const alive = all.alive(written);
  const { feed } = checked;
  const latency =
    feed && alive.some((v) => has(v.asks, 'latency')) ? await time(alive, check, feed, o) : new Map<number, never>();
  const generation = whole ? await generate(alive, check, o) : new Map<number, never>();
  return {
    measured: alive.map((v) => ({
      ...v,
      measured: {
        ...present('sensitivity', o.sensitivities.get(v.index)),
        ...inspected.get(v.index),
        ...present('evaluation', checked.found.get(v.index)),
        ...present('latency', latency.get(v.index)),
        ...present('layers', layers.get(v.index)),
        ...present('generation', generation.get(v.index)),
      },
    })),
    overlap: checked.overlap,
  };
}

/** Models that are not opened as a whole. */
async function checkAll(
  { recipe }: CheckInput,
  written: readonly WrittenVariant[],
  all: Together,
): Promise<readonly [Checked, string]> {
  const { data, collapse } = recipe.recipe.evaluation;
  if (data)
    all.report({
      severity: 'warning',
      code: 'NOT_EVALUATED',
      message: 'the evaluation data were not looked at: the float model alone takes more memory than the recipe gives',
      hint: 'raise memory, or leave it out',
    });
  const lines = await all.each(written, async (v) => {
    const { checked, cosine, worst } = await checkLarge(v, collapse === false ? -1 : collapse);
    const least = `least cosine ${cosine.toFixed(4)}${worst && ` (${worst})`}`;
    if (!checked) return 'the graph loads; no product or table of this format can be run alone';
    return `${checked} products and tables run on some rows · ${least}`;
  });
  const checked = { samples: undefined, overlap: [], feed: undefined, found: new Map<number, never>() };
  return [checked, all.about(lines)];
}

const present = <K extends string, T>(key: K, value: T | undefined): { [k in K]?: T } =>
  value === undefined ? {} : ({ [key]: value } as { [k in K]: T }); // of this one key

/** Of runtimes that do not run here, a run for one alone looks into its layers. */
const notOfSeveral = (list: readonly WrittenVariant[]): WrittenVariant[] => {
  const several = severalSimulated(list);
  return list.filter((v) => !several.has(v));
};

async function measureLayers(
  written: readonly WrittenVariant[],
  { all, looked }: MeasureOptions,
): Promise<ReadonlyMap<number, LayerErrors>> {
  const found = new Map<number, LayerErrors>();
  const alive = notOfSeveral(all.alive(written));
  if (!looked || !alive.some((v) => has(v.asks, 'layers'))) return found;
  await all.stage('layers', async () => {
    for (const v of alive)
      await all.lookInto(v, async () => {
        const made = await analyseLayers(v, looked, all.listen);
        if (made) found.set(v.index, made);
      });
    return [undefined, all.about([...found.values()].map(layersText))];
  });
  return found;
}

/** Which kernels run; where the target does not run here, that is not known. */
async function verify(
  written: readonly WrittenVariant[],
  { feed }: Checked,
  { all, looked, detail, front }: MeasureOptions,
): Promise<ReadonlyMap<number, Inspected>> {
  const found = new Map<number, Inspected>();
  await all.stage('verify', async () => {
    const lines = await all.each(written, async (v) => {
      const { host, name } = v.prepared.target;
      if (host === 'simulated') return `loads in onnxruntime; kernels of ${name} are not known here`;
      const { kernels, ...own } = await inspectOptimized(v.folder.model, v.nodes);
      const runtime = { ...own, ...(v.saturation ? { saturation: v.saturation } : {}) };
      const looks = { inputs: front.inputs, ...all.listen };
      const more = detail && feed ? await all.lookInto(v, () => analyseKernels(v, looked, feed, looks)) : undefined;
      found.set(v.index, { runtime: { ...runtime, ...more }, kernels });
      return (
        `${(100 * runtime.integerMacsShare).toFixed(1)} % of MACs in integer kernels · ` +
        `${runtime.unfused.length} Q/DQ left unfused`
      );
    });
    return [undefined, all.about(lines)];
  });
  return found;
}

async function time(
  alive: readonly WrittenVariant[],
  check: CheckInput,
  feed: Feed,
  { all }: MeasureOptions,
): ReturnType<typeof timeAll> {
  return all.stage('latency', async () => {
    const timed = alive.filter((v) => v.prepared.target.host === 'here');
    const found = timed.length ? await timeAll(check, timed, feed) : new Map<number, never>();
    const lines = alive.map((v) => {
      const l = found.get(v.index);
      return l ? `float ${l.floatMs.p50.toFixed(2)} ms, quantized ${l.quantizedMs.p50.toFixed(2)} ms` : 'skipped';
    });
    return [found, all.about(lines)];
  });
}

/** Prompts continued by both models, of those that continue text. */
async function generate(
  alive: readonly WrittenVariant[],
  check: CheckInput,
  { all, front }: MeasureOptions,
): Promise<ReadonlyMap<number, GenerationFacts>> {
  const found = new Map<number, GenerationFacts>();
  const asked = alive.filter((v) => has(v.asks, 'generate') && v.prepared.target.host === 'here');
  if (!asked.length || !generates(check, front.scores.outputs)) return found;
  await all.stage('generate', async () => {
    for (const v of asked)
      await all.lookInto(v, async () => {
        const made = await compareGeneration(check, v);
        if (made) found.set(v.index, made);
      });
    return [undefined, all.about([...found.values()].map(generationText)) || 'nothing was continued'];
  });
  return found;
}
