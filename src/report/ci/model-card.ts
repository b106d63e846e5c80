/**
 * README.md for the Hugging Face hub: front matter that the hub reads, then what people ask before they use a model.
 */
import { saturationSentence } from '../saturation.js';
import { stringify } from 'yaml';
import type { LayoutFacts, ModelFacts, RunRecord } from '../../record/index.js';
import { code, fence, section, table, text } from '../markdown/parts.js';
import { story } from '../story.js';
import { gateSentence, measured, speedText, summaryTable, VERDICTS } from '../summary.js';
import { bytes, count, many, percent, visible } from '../text.js';

/** A folder of models, and the record of each, in their order. */
export interface LaidOutRuns {
  readonly facts: LayoutFacts;
  readonly records: readonly RunRecord[];
}

/**
 * The card of a run, or of the folder that holds several: what is said of one is then said of the first. Source of the
 * keys: https://huggingface.co/docs/hub/model-cards#model-card-metadata
 */
export function renderModelCard(record: RunRecord, laid?: LaidOutRuns): string {
  return `---\n${stringify(frontMatter(record, laid?.facts), { lineWidth: 0 })}---\n\n${[
    `# ${text(titleOf(record))}`,
    `${code(record.model.float.name)}, quantized by quantbench ${text(record.quantbench)}. ` +
      `${text(measured(record).text)}`,
    section(
      'What was done',
      [
        text(story({ ...record, diagnostics: [] }).join(' ')),
        `The recipe, as resolved:\n\n${fence(record.recipe.yaml, 'yaml')}`,
      ]
        .filter(Boolean)
        .join('\n\n'),
    ),
    laid ? section('Files', filesTable(laid)) : '',
    section(
      'Results',
      table(
        ['', 'float', 'quantized', 'change', ''],
        summaryTable(record).map((r) => [
          text(r.metric),
          text(r.float),
          text(r.quantized),
          text(r.change),
          text(r.note),
        ]),
      ),
    ),
    section('Hardware', hardware(record)),
    section(
      'Limits',
      limits(record)
        .map((l) => `- ${l}`)
        .join('\n'),
    ),
    section('How to run', laid ? howToLoad(laid, record) : howToRun(record)),
  ]
    .filter(Boolean)
    .join('\n\n')}\n`;
}

const stem = (name: string): string =>
  visible(name, 120)
    .replace(/^.*[/\\]/, '')
    .replace(/\.onnx$/i, '');
const titleOf = (record: RunRecord): string => `${stem(record.model.float.name)} ${visible(record.recipe.name, 80)}`;

function frontMatter(record: RunRecord, layout?: LayoutFacts): object {
  const o = layout?.origin;
  const { evaluation: e } = record;
  const data = datasetOf(e?.data);
  const weights = [
    ...new Set(
      record.points.filter((p) => p.role === 'weight' && p.dtype !== undefined).map((p) => visible(p.dtype ?? '', 20)),
    ),
  ];
  const metrics = (e?.metrics ?? [])
    .filter((m) => Number.isFinite(m.quantized))
    .map((m) => ({
      type: TYPES[m.name] ?? visible(m.name, 60),
      name: `${visible(m.name, 60)}${m.unit === '%' ? ' (%)' : ''}`,
      value: Number(m.quantized.toPrecision(6)),
    }));
  const shown = (key: string, value: string | undefined): Record<string, string> =>
    value === undefined ? {} : { [key]: visible(value, 200) };
  return {
    base_model: o?.model === undefined ? stem(record.model.float.name) : visible(o.model, 200),
    base_model_relation: 'quantized',
    library_name: layout && layout.name !== 'huggingface' ? layout.name : 'onnx',
    ...shown('license', o?.license),
    ...shown('license_name', o?.licenseName),
    ...shown('license_link', o?.licenseLink),
    ...shown('pipeline_tag', o?.task),
    ...(o?.languages ? { language: o.languages.map((l) => visible(l, 20)) } : {}),
    tags: ['onnx', 'onnxruntime', 'quantized', ...weights],
    ...(metrics.length
      ? {
          'model-index': [
            {
              name: titleOf(record),
              results: [{ task: { type: data.task }, dataset: { name: data.name, type: data.name }, metrics }],
            },
          ],
        }
      : {}),
  };
}

/** Names under which the hub knows metrics. */
const TYPES: Readonly<Record<string, string>> = { top1: 'accuracy', top5: 'accuracy', accuracy: 'accuracy', f1: 'f1' };

/** The last part of the path that data were read from, and the task where the kind of data tells it. */
function datasetOf(data: unknown): { readonly name: string; readonly task: string } {
  const d: { path?: unknown; source?: unknown; images?: unknown } =
    typeof data === 'object' && data !== null ? data : {};
  const where = [d.path, d.images].find((x) => typeof x === 'string');
  const parts = typeof where === 'string' ? where.split(/[/\\]/).filter((p) => p && p !== '.' && p !== '..') : [];
  return {
    name: visible(parts.slice(-2).join('/') || 'unknown', 120),
    task: d.source === 'images' || d.images !== undefined ? 'image-classification' : 'other',
  };
}

function hardware({ environment: e, latency: l }: RunRecord): string {
  const machine =
    `${text(e.cpu)} (${text([`${e.platform} ${e.arch}`, ...e.cpuFeatures].join(', '))}), onnxruntime ` +
    `${text(e.onnxruntime)}`;
  return l
    ? `Latency was measured on ${machine}: ${text(against(l.speedup))} with ${many(l.threads, 'thread')}, batch ` +
        `${count(l.batch)}. Other machines give other times.`
    : `Quantized on ${machine}. Latency was not measured.`;
}

/** Such as `2.21 × faster than float`. */
const against = (speedup: number): string => {
  const said = speedText(speedup);
  return said === 'as fast' ? 'as fast as float' : said === '–' ? 'no ratio to float' : `${said} than float`;
};

function limits(record: RunRecord): string[] {
  const { evaluation: e, gate, runtime: r, calibration: c, latency: l } = record;
  return [
    e ? `Accuracy is that on ${many(e.samples, 'sample')}; other data were not tried.` : 'Accuracy was not measured.',
    gate && `Gate: ${VERDICTS[gate.verdict].word}, ${text(gateSentence(gate))}.`,
    c && `Activation ranges come from ${many(c.samples, 'calibration sample')}: inputs unlike them may be clipped.`,
    c?.overlapWithEvaluation.length
      ? `${many(c.overlapWithEvaluation.length, 'evaluation sample')} were also used for calibration, which ` +
        'flatters the accuracy.'
      : undefined,
    r && r.integerMacsShare < 1 && `${percent(1 - r.integerMacsShare)} of the multiply-accumulates stay in float.`,
    saturationSentence(record),
    l?.process &&
      `Loading and running takes ${bytes(l.process.quantized.peakBytes)} of memory beyond the bare process ` +
        `(float: ${bytes(l.process.float.peakBytes)}).`,
  ].filter((s) => typeof s === 'string');
}

/** One row for each model, with what was measured of it. */
function filesTable({ facts, records }: LaidOutRuns): string {
  const measuredOf = (r: RunRecord): ReturnType<typeof summaryTable> =>
    summaryTable(r).slice(0, r.evaluation?.metrics.length ?? 0);
  const heads = [...new Map(records.flatMap(measuredOf).map((m) => [m.metric, m.float]))];
  return table(
    ['type', 'file', 'size', 'recipe', ...heads.map(([name, float]) => text(`${name} (float ${float})`))],
    facts.variants.map((v, i) => {
      const record = records[i];
      const rows = record ? measuredOf(record) : [];
      const cells = heads.map(([name]) => {
        const m = rows.find((r) => r.metric === name);
        return m ? text([m.quantized, m.note && `(${m.note})`].filter(Boolean).join(' ')) : '–';
      });
      return [text(v.dtype), code(v.file), bytes(v.bytes), text(visible(record?.recipe.name ?? '', 80)), ...cells];
    }),
  );
}

function howToLoad({ facts: { name, variants } }: LaidOutRuns, record: RunRecord): string {
  const [first] = variants;
  if (name === 'huggingface') return howToRun(record, first?.file);
  if (name === 'onnxruntime-genai')
    return fence(
      "import onnxruntime_genai as og\n\nmodel = og.Model('.')  # this folder\ntokenizer = og.Tokenizer(model)\n" +
        'params = og.GeneratorParams(model)\nparams.set_search_options(max_length=200)\n' +
        "generator = og.Generator(model, params)\ngenerator.append_tokens(tokenizer.encode('Once'))\n" +
        'while not generator.is_done():\n    generator.generate_next_token()\n' +
        'print(tokenizer.decode(generator.get_sequence(0)))\n',
      'python',
    );
  const kind = record.model.float.inputs.some((i) => /^past/.test(i.name)) ? 'AutoModelForCausalLM' : 'AutoModel';
  return fence(
    `import { AutoTokenizer, ${kind} } from '@huggingface/transformers';\n\n` +
      "const tokenizer = await AutoTokenizer.from_pretrained('org/name'); // where this folder lies\n" +
      `const model = await ${kind}.from_pretrained('org/name', { dtype: ${JSON.stringify(first?.dtype)} });\n`,
    'js',
  );
}

function howToRun({ model, files }: RunRecord, given?: string): string {
  const m: ModelFacts = model.quantized ?? model.float;
  const file = given ?? files.find((f) => f.path.endsWith('.onnx'))?.path ?? 'model.onnx';
  // Python reads JSON strings as its own; dimensions without a number are taken as 1.
  const feeds = m.inputs.map(
    (i) =>
      `${JSON.stringify(visible(i.name))}: ` +
      `np.zeros(${JSON.stringify(i.shape.map((d) => (typeof d === 'number' && d > 0 ? d : 1)))}, ` +
      `np.${NUMPY[i.dtype] ?? 'float32'})`,
  );
  return fence(
    `import numpy as np\nimport onnxruntime as ort\n\n` +
      `session = ort.InferenceSession(${JSON.stringify(visible(file))})\n` +
      `outputs = session.run(None, {${feeds.join(', ')}})\n`,
    'python',
  );
}
const NUMPY: Readonly<Record<string, string>> = {
  float32: 'float32',
  float16: 'float16',
  float64: 'float64',
  int64: 'int64',
  int32: 'int32',
  int8: 'int8',
  uint8: 'uint8',
  bool: 'bool_',
};
