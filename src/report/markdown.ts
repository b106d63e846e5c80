/** report.md: the run record as Markdown (GitHub's flavour), verdict first. */
import { fold, moreText, placeOfFinding, type Folded } from '../base/findings.js';
import type { RunRecord } from '../record/index.js';
import { accuracy, gate, mixed, saturation, search, sensitivity } from './markdown/findings.js';
import { code, fence, MAX_ROWS, more, section, table, text } from './markdown/parts.js';
import { compressionText } from './compression.js';
import { generationText } from './generation.js';
import { targetText } from './target.js';
import { transportText } from './transport.js';
import { story } from './story.js';
import { summaryTable, verdict } from './summary.js';
import { trainingText } from './training.js';
import { big, bytes, count, fixed, isNumber, json, many, ms, percent, plain, span, spread } from './text.js';

export function renderMarkdown(record: RunRecord): string {
  const parts = [
    `# ${text(record.recipe.name)}`,
    `**${text(verdict(record).text)}**`,
    saturation(record),
    about(record),
    table(
      ['', 'float', 'quantized', 'change', ''],
      summaryTable(record).map((r) => [text(r.metric), text(r.float), text(r.quantized), text(r.change), text(r.note)]),
    ),
    section('What happened', story(record).map(text).join(' ')),
    section('Gate', gate(record)),
    section('Where it ships', targetText(record)),
    section('Search', search(record)),
    section('Compression', record.compression ? compressionText(record.compression, record.sparsity) : ''),
    section('Transport size', record.transport ? transportText(record.transport) : ''),
    section('Training', record.training ? trainingText(record.training) : ''),
    section('Accuracy', accuracy(record)),
    section('Latency', latency(record)),
    section('Generation', record.generation ? generationText(record.generation) : ''),
    section(
      'Clean-up',
      table(
        ['pass', 'changes', 'nodes before', 'nodes after'],
        record.passes
          .filter((p) => p.changes > 0)
          .map((p) => [code(p.pass), count(p.changes), count(p.nodesBefore), count(p.nodesAfter)]),
      ),
    ),
    section('Layers', layers(record)),
    section('Tensors', tensors(record)),
    section('Sensitivity', sensitivity(record)),
    section('Mixed precision', mixed(record)),
    section('Runtime', runtime(record)),
    section('Diagnostics', diagnostics(record)),
    section('Recipe as resolved', fence(record.recipe.yaml, 'yaml')),
    section('Provenance', provenance(record)),
  ];
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}

function about({ recipe, model, environment, startedAt, durationMs, quantbench }: RunRecord): string {
  return (
    `${code(model.float.name)} · recipe ${code(recipe.file ?? recipe.name)} · onnxruntime ` +
    `${text(environment.onnxruntime)} on ${text(environment.cpu)} · ${text(startedAt)} · ` +
    `${fixed(durationMs / 1000, 1)} s · quantbench ${text(quantbench)}`
  );
}

function latency({ latency: l }: RunRecord): string {
  if (!l) return '';
  const shapes = Object.entries(l.inputShapes)
    .map(([name, dims]) => `${code(name)} [${dims.map(plain).join(', ')}]`)
    .join(', ');
  const sure = l.speedupInterval
    ? `, 95 % CI ${fixed(l.speedupInterval[0], 2)} … ${fixed(l.speedupInterval[1], 2)}`
    : '';
  const rows = (['p50', 'p90', 'p99', 'mean'] as const).map((p) => [
    p,
    ms(l.floatMs[p]),
    ms(l.quantizedMs[p]),
    `${fixed(l.floatMs[p] / l.quantizedMs[p], 2)} ×`,
  ]);
  return (
    `${table(['', 'float', 'quantized', 'float ÷ quantized'], rows)}\n\n` +
    `Median of the pairwise ratios ${fixed(l.speedup, 2)} ×${sure}; ${many(l.threads, 'thread')}, ` +
    `${count(l.runs)} interleaved runs after ${count(l.warmup)} to warm up, ${shapes}.`
  );
}

function layers({ nodes }: RunRecord): string {
  const total = nodes.reduce((n, x) => n + x.macs, 0);
  const rows = nodes
    .filter((n) => n.macs > 0 || n.ranInteger === false || n.body !== undefined)
    .map((n) => [
      n.body === undefined ? code(n.name) : `${code(n.name)} in ${code(n.body)}`,
      code(n.op),
      total ? percent(n.macs / total) : '',
      text(n.planned),
      n.kernel ? code(n.kernel) : n.ranInteger === undefined ? 'unknown' : n.ranInteger ? 'integer' : 'float',
      text(n.because ?? ''),
    ]);
  return table(['node', 'op', 'MACs', 'planned', 'kernel', 'why'], rows);
}

function tensors({ points }: RunRecord): string {
  const rows = points
    .filter((p) => p.kind !== 'float' && p.role === 'activation')
    .map((p) => [
      code(p.name),
      text(p.dtype ?? ''),
      span(p.observedMin, p.observedMax),
      span(p.min, p.max),
      spread(p.scale),
      spread(p.zeroPoint),
      isNumber(p.clipped) ? percent(p.clipped, 2) : '',
    ]);
  return table(['activation', 'type', 'seen', 'chosen', 'scale', 'zero point', 'clipped'], rows);
}

function runtime({ runtime: r }: RunRecord): string {
  if (!r) return '';
  const ops = Object.entries(r.ops)
    .sort((a, b) => b[1] - a[1])
    .map(([op, n]) => `${code(op)} ${count(n)}`)
    .join(', ');
  return [
    `Ops that onnxruntime runs: ${ops}.`,
    r.unfused.length ? `Left unfused: ${list(r.unfused)}.` : 'No Q/DQ is left where a fused kernel was expected.',
    r.floatCompute.length ? `Compute in float: ${list(r.floatCompute)}.` : '',
  ]
    .filter(Boolean)
    .join('\n\n');
}

const list = (names: readonly string[]): string =>
  names.slice(0, 20).map(code).join(', ') + (names.length > 20 ? ` and ${count(names.length - 20)} more` : '');

function diagnostics({ diagnostics: all }: RunRecord): string {
  const kinds = fold(all);
  const line = (kind: Folded): string => {
    const { first: d } = kind;
    const place = placeOfFinding(d);
    return (
      `- **${text(d.severity)}** ${code(d.code)} ${place ? `${text(place)}: ` : ''}${text(d.message)}` +
      `${kind.more ? ` (${text(moreText(kind))})` : ''}${d.hint ? ` – ${text(d.hint)}` : ''}`
    );
  };
  return kinds.slice(0, MAX_ROWS).map(line).join('\n') + more(kinds.length);
}

function provenance({ environment: e, model, seeds, files, calibration, evaluation }: RunRecord): string {
  const rows: string[][] = [
    [
      'float model',
      `${code(model.float.sha256)} ${bytes(model.float.bytes)}, opset ${plain(model.float.opset)}, IR ` +
        `${plain(model.float.irVersion)}, ${big(model.float.parameters)} parameters`,
    ],
    ...(model.quantized
      ? [
          [
            'quantized model',
            `${code(model.quantized.sha256)} ${bytes(model.quantized.bytes)}, opset ${plain(model.quantized.opset)}`,
          ],
        ]
      : []),
    ['machine', text(`${e.cpu}, ${count(e.cores)} cores, ${bytes(e.memoryBytes)}, ${e.platform} ${e.arch}`)],
    ['CPU features', text(e.cpuFeatures.join(', '))],
    ['versions', text(`node ${e.node}, onnxruntime ${e.onnxruntime}`)],
    [
      'seeds',
      text(
        Object.entries(seeds)
          .map(([name, seed]) => `${name} ${plain(seed)}`)
          .join(', '),
      ),
    ],
    ...files.map((f) => [
      code(f.path),
      `${code(f.sha256)} ${bytes(f.bytes)}${f.role === 'sidecar' ? ', goes with the model' : ''}`,
    ]),
  ];
  const data = [
    ['Calibration data', calibration?.data],
    ['Evaluation data', evaluation?.data],
  ]
    .filter(([, d]) => d !== undefined && d !== null)
    .map(([title, d]) => `${String(title)}:\n\n${fence(json(d), 'json')}`);
  return [table(['', ''], rows), ...data].join('\n\n');
}
