/** `quantize inspect`: a model as it is, or what a run decided about it. */
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { fail, nearest } from '../../base/errors.js';
import { bytesText, countText, printable } from '../../base/text.js';
import { filledInputs } from '../../data/language/roles.js';
import { constantsOf } from '../../cost/constants.js';
import { countNodes } from '../../ir/count.js';
import type { Value } from '../../ir/graph.js';
import { allGraphs, type Model } from '../../ir/model.js';
import { printModel } from '../../ir/text/print.js';
import { loadModel } from '../../onnx/files.js';
import { inputInfo } from '../../pipeline/inputs.js';
import { bytesOnDisk } from '../../pipeline/sources.js';
import { readRun } from '../../record/read.js';
import type { PointFacts, RunRecord } from '../../record/index.js';
import type { CommandContext } from '../context.js';
import { summaryLines } from '../summary.js';
import { table } from '../layout.js';
import { type Terminal } from '../terminal.js';

export interface InspectFlags {
  readonly point?: string;
  readonly graph?: true;
  readonly text?: true;
  readonly json?: true;
}
/** Larger tensors are shown by type only. */
const SHOWN_ELEMENTS = 16;

/** Throws MODEL_* for a bad model, DATA_FORMAT for a bad record, RECIPE_UNKNOWN_NAME for an unknown point, USAGE. */
export async function inspect(target: string, flags: InspectFlags, { terminal }: CommandContext): Promise<number> {
  const runFile = runFileOf(target);
  if (runFile !== undefined) {
    const shows = flags.text ? '--text' : '--graph';
    if (flags.text ?? flags.graph)
      fail(
        'USAGE',
        `${shows} shows a model, but this is a run`,
        { file: target },
        `quantize inspect ${path.join(path.dirname(runFile), 'model.onnx')} ${shows}`,
      );
    inspectRun(readRun(runFile), runFile, flags, terminal);
    return 0;
  }
  if (flags.point !== undefined)
    fail(
      'USAGE',
      '--point needs a run, but this is a model',
      { file: target },
      'give the output folder of a run, such as reports/int8-kl',
    );
  const model = loadModel(target);
  const facts = describe(model);
  if (flags.json)
    terminal.data(`${JSON.stringify({ file: target, bytes: bytesOnDisk(target, model), ...facts }, null, 1)}\n`);
  else {
    if (!flags.text)
      terminal.data(`${modelLines(target, bytesOnDisk(target, model), facts, terminal.dataColumns).join('\n')}\n`);
    if (flags.graph) terminal.data('\n');
    if (flags.text ?? flags.graph) terminal.data(printable(printModel(model, { maxElements: SHOWN_ELEMENTS })));
    else terminal.say('  --graph shows the nodes too');
  }
  return 0;
}

function runFileOf(target: string): string | undefined {
  if (/\.json$/i.test(target)) return target;
  const inside = path.join(target, 'run.json');
  if (existsSync(inside)) return inside;
  if (statSync(target, { throwIfNoEntry: false })?.isDirectory())
    fail('USAGE', `the folder holds no run.json`, { file: target }, 'give an ONNX file or the output folder of a run');
  return undefined;
}

interface ModelDescription {
  readonly irVersion: number;
  readonly producer: string;
  readonly opsets: Readonly<Record<string, number>>;
  readonly nodes: number;
  readonly parameters: number;
  readonly dataBytes: number;
  readonly ops: Readonly<Record<string, number>>;
  readonly dtypes: Readonly<Record<string, { tensors: number; elements: number; bytes: number }>>;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Of language models: what runs fill in for inputs that follow from the tokens. */
  readonly filled: readonly string[];
  readonly dynamicAxes: readonly string[];
  readonly functions: number;
}

function describe(model: Model): ModelDescription {
  const ops: Record<string, number> = {};
  const dtypes: Record<string, { tensors: number; elements: number; bytes: number }> = {};
  for (const g of allGraphs(model.graph)) {
    for (const n of g.nodes) {
      const op = n.domain ? `${n.domain}.${n.op}` : n.op;
      ops[op] = (ops[op] ?? 0) + 1;
    }
  }
  for (const data of constantsOf(model)) {
    const d = (dtypes[data.dtype] ??= { tensors: 0, elements: 0, bytes: 0 });
    d.tensors++;
    d.elements += data.size;
    d.bytes += data.byteLength;
  }
  const inputs = model.graph.inputs.filter((v) => !v.data);
  const sum = (key: 'elements' | 'bytes'): number => Object.values(dtypes).reduce((n, d) => n + d[key], 0);
  return {
    irVersion: model.irVersion,
    producer: `${model.producerName} ${model.producerVersion}`.trim(),
    opsets: Object.fromEntries([...model.opsets].map(([d, v]) => [d || 'ai.onnx', v])),
    nodes: countNodes(model),
    parameters: sum('elements'),
    dataBytes: sum('bytes'),
    ops: Object.fromEntries(Object.entries(ops).sort((a, b) => b[1] - a[1])),
    dtypes,
    inputs: inputs.map(signature),
    outputs: model.graph.outputs.map(signature),
    filled: filledInputs(inputInfo(model)),
    functions: model.functions.length,
    dynamicAxes: inputs.flatMap((v) =>
      (v.shape ?? []).flatMap((d, axis) =>
        typeof d === 'number' ? [] : [`${v.name}[${axis}]${d === null ? '' : ` (${d})`}`],
      ),
    ),
  };
}
const signature = (v: Value): string =>
  `${v.name}: ${v.dtype ?? v.other?.kind ?? 'unknown'}${v.shape ? `[${v.shape.map((d) => d ?? '?').join(', ')}]` : ''}`;

function modelLines(file: string, bytes: number, f: ModelDescription, columns: number): string[] {
  return table(
    [
      ['file', `${file} (${bytesText(bytes)})`],
      [
        'format',
        `IR ${f.irVersion}, ${Object.entries(f.opsets)
          .map(([d, v]) => `${d} opset ${v}`)
          .join(', ')}${f.producer ? `, by ${f.producer}` : ''}`,
      ],
      ...f.inputs.map((i) => ['input', i]),
      ...f.outputs.map((o) => ['output', o]),
      ...f.filled.map((o) => ['filled in', o]),
      ['dynamic axes', f.dynamicAxes.join(', ') || 'none'],
      [
        'nodes',
        `${f.nodes}${f.ops.Constant ? ` (${f.ops.Constant} Constants not counted)` : ''}${
          f.functions ? `, and ${f.functions} functions` : ''
        }`,
      ],
      ['parameters', `${countText(f.parameters)} (${bytesText(f.dataBytes)})`],
      ...Object.entries(f.dtypes)
        .sort((a, b) => b[1].bytes - a[1].bytes)
        .map(([d, s]) => [`  ${d}`, `${s.tensors} tensors, ${countText(s.elements)} elements, ${bytesText(s.bytes)}`]),
      [
        'ops',
        Object.entries(f.ops)
          .map(([op, n]) => `${op} ${n}`)
          .join(', '),
      ],
    ],
    [],
    { columns },
  );
}

function inspectRun(record: RunRecord, file: string, flags: InspectFlags, terminal: Terminal): void {
  if (flags.point === undefined) {
    if (flags.json) terminal.data(`${JSON.stringify(record, null, 1)}\n`);
    else
      terminal.data(
        `${[
          ...summaryLines(record, { colour: false, columns: terminal.dataColumns }),
          ...table([['point', 'role', 'kind', 'scale', 'zero point', 'why'], ...record.points.map(pointRow)], [], {
            columns: terminal.dataColumns,
            drop: [2, 1, 4],
          }),
        ].join('\n')}\n`,
      );
    return;
  }
  const point = record.points.find((p) => p.name === flags.point);
  if (!point) {
    const near = nearest(
      flags.point,
      record.points.map((p) => p.name),
    );
    return fail(
      'RECIPE_UNKNOWN_NAME',
      `the run has no point "${flags.point}"`,
      { file },
      near === undefined
        ? `it has ${record.points.length} points; \`quantize inspect ${path.dirname(file)}\` lists them`
        : `did you mean "${near}"?`,
    );
  }
  terminal.data(flags.json ? `${JSON.stringify(point, null, 1)}\n` : `${pointLines(point).join('\n')}\n`);
}

const pointRow = (p: PointFacts): string[] => [p.name, p.role, p.kind, few(p.scale, 1), few(p.zeroPoint, 1), p.because];
/** The first numbers of a list, and how many more there are. */
const few = (list: readonly number[] | undefined, count = 8): string =>
  list
    ? `${list
        .slice(0, count)
        .map((v) => (Number.isInteger(v) ? String(v) : v.toPrecision(6)))
        .join(', ')}${list.length > count ? ` … (${list.length})` : ''}`
    : '';

function pointLines(p: PointFacts): string[] {
  return table([
    ['point', p.name],
    ['role', p.role],
    ['plan', p.kind],
    ['why', p.because],
    ...(p.dtype === undefined
      ? []
      : [
          [
            'codes',
            `${p.dtype}, ` +
              `${p.symmetric ? 'symmetric' : 'asymmetric'}${
                p.granularity === undefined ? '' : `, one scale per ${p.granularity}`
              }`,
          ],
        ]),
    ...(p.observer === undefined ? [] : [['observer', p.observer]]),
    ...(p.observedMin
      ? [
          [
            'observed',
            `${few(p.observedMin)} to ` +
              `${few(p.observedMax)}${p.count === undefined ? '' : `, ${countText(p.count)} values`}`,
          ],
        ]
      : []),
    ...(p.min ? [['range', `${few(p.min)} to ${few(p.max)}`]] : []),
    ...(p.scale ? [['scale', few(p.scale)]] : []),
    ...(p.zeroPoint ? [['zero point', few(p.zeroPoint)]] : []),
    ...(p.clipped === undefined ? [] : [['clipped', `${(100 * p.clipped).toPrecision(3)} % of the values`]]),
  ]);
}
