/** Placement by target as text, and that every field of a profile changes something. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { QuantError, type Diagnostic } from '../../src/base/errors.js';
import { targetDoc } from '../../src/cli/docs-targets.js';
import { label } from '../../src/ir/graph.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { planModel, passesFor } from '../../src/pipeline/prepare.js';
import { resolveRecipe } from '../../src/recipe/load.js';
import { builtIn } from '../../src/recipe/plugins.js';
import type { RecipeInput } from '../../src/recipe/schema.js';
import { inferShapes } from '../../src/ops/infer.js';
import { verdictOn } from '../../src/scheme/quantized.js';
import type { QuantPlan, QuantPoint } from '../../src/scheme/types.js';
import { anyParams } from '../models/any-params.js';
import { printModel } from '../../src/ir/text/print.js';
import { writeModel } from '../../src/formats/write.js';
import { targets } from '../../src/targets/index.js';
import type { TargetProfile } from '../../src/scheme/profile.js';

/** Something of every kind that profiles speak of. */
const NET = `<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4,8,8] x) => (float[1,6] y) <float[8,4,3,3] w1, float[8] b1, float[8,8,1,1] w2, float[8,8] w3, float[1,8,6] w4,
    float[4096,8] table, int64[1] rows = {3}, int64[8] pads = {0,0,1,1,0,0,1,1}, int64[2] flat = {1, 8}, float six = {6}, float zero = {0}> {
  [conv] a = Conv<pads = [1,1,1,1]>(x, w1, b1)
  [relu] r = Relu(a)
  [pad] p = Pad(r, pads)
  [pool] m = MaxPool<kernel_shape = [2,2]>(p)
  [point] c = Conv(m, w2)
  [clip] k = Clip(c, zero, six)
  [average] g1 = GlobalAveragePool(k)
  [reshape] f = Reshape(g1, flat)
  [look] e = Gather(table, rows)
  [add] s = Add(f, e)
  [gemm] n = Gemm<transB = 1>(s, w3)
  [sigmoid] h = Sigmoid(n)
  [last] z = MatMul(h, w4)
  [flatten] y = Reshape(z, six2) }`.replace('float six = {6}', 'float six = {6}, int64[2] six2 = {1, 6}');
/** Sums of products, what is concatenated, and a range that is known. */
const SUMS = `<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4,4,4] x) => (float[1,8,4,4] y) <float[4,4,1,1] w1, float[4,4,1,1] w2, float[4,8,1,1] w3> {
  [first] a = Conv(x, w1)
  [skip] b = Relu(a)
  [second] c = Conv(b, w2)
  [sum] s = Add(c, b)
  [relu] r = Relu(s)
  [sigmoid] h = Sigmoid(r)
  [concat] k = Concat<axis = 1>(b, r)
  [last] l = Conv(k, w3)
  [mixed] m = Mul(l, h)
  [twice] t = Concat<axis = 1>(m, r)
  [end] y = Conv(t, w4) }`.replace('w3> {', 'w3, float[8,8,1,1] w4> {');
/** Three layers, of which the middle one may stay float. */
const CHAIN = `<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4,4,4] x) => (float[1,4,4,4] y) <float[4,4,1,1] w1, float[4,4,1,1] w2, float[4,4,1,1] w3> {
  [first] a = Conv(x, w1)
  [middle] b = Conv(a, w2)
  [last] y = Conv(b, w3) }`;
const SETTINGS: readonly string[] = [
  'format: qdq',
  'format: qdq\nactivations: { dtype: int8, symmetric: true }',
  'format: qdq\nactivations: { dtype: int16, symmetric: true }\nweights: { dtype: int4 }',
  'format: dynamic\ndynamicConv: true',
  'format: weight-only\nweights: { dtype: uint4, symmetric: false, granularity: { block: 16 } }',
  'format: weight-only\nstandardOps: true\nweights: { dtype: int4, granularity: channel }',
  'format: float16',
  'format: coded',
];

async function plannedFor(target: TargetProfile, settings: string, net = NET): Promise<string> {
  const given = { version: 1, model: 'm.onnx', calibration: { data: { npy: 'x.npy' } } } as const;
  const resolved = await resolveRecipe({
    ...given,
    quantize: parse(settings) as NonNullable<RecipeInput['quantize']>, // the schema checks it
  });
  const recipe = { ...resolved.recipe, target: target.name };
  const model = parseModel(net, { randomInitializers: 1 });
  inferShapes(model);
  const told: Diagnostic[] = [];
  try {
    const among = { targets: [target] };
    const { planned, format } = planModel(model, recipe, (d) => told.push(d), among);
    const points = [...model.graph.nodes].flatMap((n) => [
      ...n.inputs.flatMap((v, i) => (v?.data ? specText(planned.plan, n.use(i) ?? v, v) : [])),
      ...n.outputs.flatMap((v) => specText(planned.plan, v, v)),
    ]);
    const own = passesFor({ ...resolved, recipe, plugins: { ...builtIn, ...among } }).flatMap((p) => p.needs ?? []);
    return [
      `opset ${model.opsets.get('')} · ${format.name}`,
      ...[...model.graph.nodes].map((n) => {
        const v = verdictOn({ planned }, n);
        const clamp = planned.fusedClamps.get(n);
        const because = v.runs === 'float' && v.because ? `: ${v.because}` : '';
        return `  ${label(n)} ${v.runs}${because}${clamp ? ` + ${label(clamp)}` : ''}`;
      }),
      ...[...new Set(points)].map((p) => `  ${p}`),
      ...(planned.weightOnly ? [`  ${JSON.stringify(planned.weightOnly)}`] : []),
      ...(planned.packings ? [`  safe: ${planned.packings.size}`] : []),
      ...told.map((d) => `  ${d.severity} ${d.code}: ${d.message.slice(0, 60)} ${d.hint ?? ''}`),
      ...(own.length ? [`  passes for ${own.join(' ')}`] : []),
    ].join('\n');
  } catch (error) {
    if (!(error instanceof QuantError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

function specText(plan: QuantPlan, use: QuantPoint, value: QuantPoint & { name?: string }): string[] {
  const spec = plan.get(use) ?? plan.get(value);
  if (!spec || spec.kind === 'float') return [];
  const name = 'name' in value ? value.name : '';
  if (spec.kind === 'observed' || spec.kind === 'fixed') {
    const { dtype, symmetric, narrow, powerOfTwo, granularity: g } = spec.scheme;
    const nameOf = (p: QuantPoint): string => ('uses' in p ? p.name : label(p.node));
    const covers = spec.kind === 'observed' ? (spec.covers ?? []) : [];
    return [
      `${name} ${spec.kind} ${dtype} ${symmetric ? 'symmetric' : 'asymmetric'} ${g.kind}${'axis' in g ? g.axis : ''}` +
        (narrow ? ' narrow' : '') +
        (powerOfTwo ? ' powers of two' : '') +
        (covers.length ? ` covers ${covers.map(nameOf).join(' ')}` : '') +
        (spec.kind === 'fixed' ? ` ${spec.scale} ${spec.zeroPoint}` : ''),
    ];
  }
  return [`${name} ${spec.kind}`];
}

async function portrait(target: TargetProfile): Promise<string> {
  const made: string[] = [];
  for (const s of SETTINGS) made.push(`# ${s.replaceAll('\n', ' · ')}\n${await plannedFor(target, s)}`);
  made.push(`# sums, format: qdq\n${await plannedFor(target, 'format: qdq', SUMS)}`);
  made.push(`# a chain, format: qdq\n${await plannedFor(target, 'format: qdq', CHAIN)}`);
  return `${made.join('\n\n')}\n`;
}

describe.each(targets.map((t) => [t.name, t] as const))('%s', (name, target) => {
  it('places quantization as its golden says', async () => {
    const file = path.join(import.meta.dirname, '..', 'golden', 'targets', `${name}.txt`);
    const text = await portrait(target);
    if (!existsSync(file) && process.env.UPDATE_GOLDENS) writeFileSync(file, text);
    expect(text).toBe(readFileSync(file, 'utf8'));
  });
});

/** A change of each field. */
const changed: { readonly [K in keyof Required<TargetProfile>]: (t: TargetProfile) => TargetProfile } = {
  name: (t) => ({ ...t, name: 'onnxruntime-cpu-vnni' }),
  aliases: (t) => ({ ...t, aliases: ['other'] }),
  doc: (t) => ({ ...t, doc: 'Other.' }),
  source: (t) => ({ ...t, source: 'https://example.org' }),
  host: (t) => ({ ...t, host: 'simulated' }),
  hardware: (t) => ({ ...t, hardware: 'other' }),
  artefact: (t) => ({ ...t, artefact: 'files' }),
  formats: (t) => ({ ...t, formats: ['qdq'] }),
  maxOpset: (t) => ({ ...t, maxOpset: 20 }),
  defaults: (t) => ({ ...t, defaults: { ...t.defaults, weightGranularity: 'tensor' } }),
  u8s8: (t) => ({ ...t, u8s8: 'exact' }),
  ports: (t) => ({ ...t, ports: { ...t.ports, activation: { types: ['uint8', 'int16'], granularity: ['tensor'] } } }),
  beyondPorts: (t) => ({ ...t, beyondPorts: 'refused' }),
  floatReads: (t) => ({ ...t, floatReads: 'values' }),
  zeroPointsBetween: (t) => ({ ...t, zeroPointsBetween: [] }),
  quantizesFloat: (t) => ({ ...t, quantizesFloat: [] }),
  bias: (t) => ({ ...t, bias: 'float' }),
  scales: (t) => ({ ...t, scales: 'power-of-two' }),
  sameScale: (t) => ({ ...t, sameScale: ['Concat'] }),
  fixedOutputs: (t) => ({ ...t, fixedOutputs: { Sigmoid: [{ dtype: 'uint8', scale: 1 / 128, zeroPoint: 0 }] } }),
  fusedSums: (t) => ({ ...t, fusedSums: ['Conv > Add'] }),
  fusions: (t) => ({ ...t, fusions: ['Conv > Relu'] }),
  integerOps: (t) => ({ ...t, integerOps: { ...t.integerOps, MatMul: {} } }),
  passthroughOps: (t) => ({ ...t, passthroughOps: t.passthroughOps.filter((op) => op !== 'MaxPool') }),
  onCodes: (t) => ({ ...t, onCodes: [] }),
  byteCodes: (t) => ({ ...t, byteCodes: [] }),
  ownOps: (t) => ({ ...t, ownOps: [] }),
  quirks: (t) => ({ ...t, quirks: [] }),
};
/** Fields that formats read, and those that only people do. */
const WRITTEN = { onCodes: 'qdq', byteCodes: 'qdq', floatReads: 'qdq', quantizesFloat: 'qdq' } as const;
const READ: readonly string[] = ['name', 'aliases', 'doc', 'source', 'hardware', 'artefact'];
/** The graph as written, with activations of a type. */
async function written(
  target: TargetProfile,
  { dtype = 'uint8', text = NET, exclude = [] }: { dtype?: 'uint8' | 'int16'; text?: string; exclude?: string[] },
): Promise<string> {
  const { recipe } = await resolveRecipe({
    version: 1,
    model: 'm.onnx',
    calibration: { data: { npy: 'x.npy' } },
    quantize: { format: 'qdq', activations: { dtype }, exclude },
  });
  const model = parseModel(text, { randomInitializers: 1 });
  inferShapes(model);
  const { planned, format } = planModel(model, recipe, () => undefined, { targets: [target] });
  const graph = { model, planned, params: anyParams(planned), seed: 0 };
  return printModel(writeModel(format, graph, target).model, { maxElements: 0 });
}

describe('every field of a profile is read', () => {
  const [base] = targets;
  /** One where it says something. */
  const having = (key: string): TargetProfile =>
    key === 'zeroPointsBetween' ? targets.find((t) => t.name === 'ncnn')! : base!; // there are targets
  it.each(Object.entries(changed).filter(([key]) => ![...Object.keys(WRITTEN), ...READ].includes(key)))(
    '%s, by planning',
    async (key, change) => {
      expect(await portrait(change(having(key)))).not.toBe(await portrait(having(key)));
    },
  );
  it.each(Object.keys(WRITTEN))('%s, by formats', async (key) => {
    const other = changed[key as keyof TargetProfile](base!); // as above
    const [is, was] = await Promise.all(
      [other, base!].map((t) =>
        Promise.all([written(t, {}), written(t, { dtype: 'int16' }), written(t, { text: CHAIN, exclude: ['middle'] })]),
      ),
    );
    expect(is).not.toEqual(was);
  });
  it.each(READ)('%s, by the documentation', (key) => {
    expect(targetDoc(changed[key as keyof TargetProfile](base!))).not.toBe(targetDoc(base!)); // as above
  });
});
