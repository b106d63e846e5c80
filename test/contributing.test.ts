/** The code that docs/contributing/ shows is that of test/contributing/, which is type-checked, and does what it says. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { extremeRange } from '../src/calibrate/statistics/extremes.js';
import { range } from '../src/calibrate/statistics/range.js';
import { parseModel } from '../src/ir/text/parse.js';
import { Tensor } from '../src/ir/tensor.js';
import { breaches } from '../src/quantize/validate.js';
import { evaluateModel } from '../src/runtime/open.js';
import type { QuantScheme } from '../src/scheme/types.js';
import { bounded } from './contributing/observer.js';
import { fileBytes } from './contributing/gate.js';
import { simulated } from './contributing/format.js';
import { calibrationCache } from './contributing/exporter.js';
import { margin } from './contributing/metric.js';
import { quickGelu } from './contributing/op.js';
import { eliminateNegPair } from './contributing/pass.js';
import { tinyNpu } from './contributing/target.js';
import { fitScale } from './contributing/weight-method.js';
import { runWith } from './rooms/gate/helpers.js';

const docs = path.join(import.meta.dirname, '..', 'docs', 'contributing');
const samples = path.join(import.meta.dirname, 'contributing');
const pages = readdirSync(docs).filter((f) => f !== 'README.md');

describe('docs/contributing', () => {
  it('has a page for each sample, and lists every page', () => {
    expect(readdirSync(samples).sort()).toEqual(pages.map((f) => f.replace(/\.md$/, '.ts')).sort());
    const list = readFileSync(path.join(docs, 'README.md'), 'utf8');
    expect(pages.filter((f) => !list.includes(`(${f})`))).toEqual([]);
  });
  it.each(pages)('%s shows its sample, with imports as from the folder that it names', (page) => {
    const text = readFileSync(path.join(docs, page), 'utf8');
    const [, file, shown] = /^`(src\/[^`]+\.ts)`:\n\n```ts\n([\s\S]*?)```/m.exec(text) ?? [];
    const code = readFileSync(path.join(samples, page.replace(/\.md$/, '.ts')), 'utf8');
    const moved = code.replace(/'\.\.\/\.\.\/(src\/[^']+)'/g, (_, to: string) => {
      const relative = path.posix.relative(path.posix.dirname(file ?? ''), to);
      return `'${relative.startsWith('.') ? relative : `./${relative}`}'`;
    });
    expect(shown).toBe(moved);
  });
});

it('docs/vocabulary.md names types where they are', () => {
  const root = path.join(docs, '..', '..');
  const cells = readFileSync(path.join(docs, '..', 'vocabulary.md'), 'utf8')
    .split('\n')
    .flatMap((line) => /^\| [^|]+ \| [^|]+ \| (.+) \|$/.exec(line)?.[1] ?? []);
  let file = '';
  const wrong: string[] = [];
  for (const cell of cells) {
    // `Name`, then a file as a link, by its path in src, or that of the row before.
    const named =
      /\]\(\.\.\/(src\/[^)]+)\)/.exec(cell)?.[1] ?? /, (\w[\w/-]*\.ts)$/.exec(cell)?.[1]?.replace(/^/, 'src/');
    file = named ?? file;
    const [, name] = /^`(\w+)`[,;]/.exec(cell) ?? [];
    if (name === undefined) continue;
    const declared = new RegExp(`^export (async )?(interface|class|type|function\\*?) ${name}\\b`, 'm');
    if (!declared.test(readFileSync(path.join(root, file), 'utf8'))) wrong.push(`${name} in ${file}`);
  }
  expect(wrong).toEqual([]);
  expect(cells.length).toBeGreaterThan(50);
});

describe('the samples', () => {
  it('pass: one Neg undoes another, and stays where others use it', async () => {
    const apply = async (text: string): Promise<unknown> => {
      const model = parseModel(`<ir_version: 8, opset_import: ["" : 17]> g (float[4] x) => ${text}`);
      const context = { model, evaluate: evaluateModel, refuse: () => undefined, report: () => undefined };
      const { changes } = await eliminateNegPair.run(context);
      return [changes, ...model.graph.topological().map((n) => n.op)];
    };
    expect(await apply('(y) { a = Neg(x) b = Neg(a) y = Relu(b) }')).toEqual([1, 'Relu']);
    expect(await apply('(y, a) { a = Neg(x) b = Neg(a) y = Relu(b) }')).toEqual([0, 'Neg', 'Neg', 'Relu']);
  });
  it('op: the result is like the operand, at one operation an element', () => {
    const node = [
      ...parseModel('<ir_version: 8, opset_import: ["" : 17]> g (float[2,3] x) => (y) { y = Relu(x) }').graph.nodes,
    ][0]!; // one node
    const known = { dtype: 'float32', shape: [2, 3] } as const;
    const context = { node, opset: 1, input: () => known, constant: () => undefined, subgraph: () => [] };
    expect(quickGelu.infer(context)).toEqual([known]);
    expect(quickGelu.cost).toBeTypeOf('function');
  });
  it('target: an asymmetric weight breaches its rules', () => {
    const model = parseModel(
      '<ir_version: 8, opset_import: ["" : 17]> g (float[1,2,4,4] x) => (float[1,2,4,4] y) <float[2,2,1,1] w> ' +
        '{ y = Conv(x, w) }',
      { randomInitializers: 1 },
    );
    const [node] = model.graph.nodes;
    const scheme: QuantScheme = { dtype: 'int8', symmetric: false, granularity: { kind: 'tensor' } };
    const planned = {
      // one node, two inputs
      plan: new Map([[node!.inputs[1]!, { kind: 'observed', scheme, observer: 'minmax' } as const]]),
      integerNodes: new Set([node!]), // as above
      weightOnlyNodes: new Set<never>(),
      fusedClamps: new Map(),
      floatNodes: new Map(),
    };
    expect(breaches(planned, tinyNpu)).toEqual([{ node, port: 'weight', because: 'asymmetric, not symmetric' }]);
  });
  it('observer: the extremes, within the limit', () => {
    const stats = range.empty(2);
    range.update(stats, { min: Float64Array.of(-1, -9), max: Float64Array.of(7, 2), minIsBound: false, count: 4 });
    expect(extremeRange(stats).max[0]).toBe(7);
    const scheme: QuantScheme = { dtype: 'uint8', symmetric: false, granularity: { kind: 'tensor' } };
    expect(bounded.chooseRange(stats, scheme, bounded.options.parse({}))).toEqual({
      min: Float64Array.of(-1, -6),
      max: Float64Array.of(6, 2),
    });
  });
  it('metric: the mean distance to the best of the others', () => {
    const collected = margin.start({}, [{ name: 'y', dtype: 'float32', shape: [1, 3] }]);
    for (const [label, row] of [
      [0, [3, 1, 2]],
      [1, [3, 1, 2]],
    ] as const)
      collected.add({ id: 's', hash: '', feeds: [{}], label }, [
        { y: { dtype: 'float32', dims: [1, 3], data: Float32Array.from(row) } },
      ]);
    expect([collected.scores, collected.value()]).toEqual([[1, -2], -0.5]);
  });
  it('gate: a limit on bytes', () => {
    const run = runWith();
    const bytes = run.model.quantized!.bytes; // the helper gives one
    expect(fileBytes.judge(run, undefined, { max: bytes }, 0.95).verdict).toBe('pass');
    expect(fileBytes.judge(run, undefined, { max: bytes - 1 }, 0.95).verdict).toBe('fail');
  });
  it('weight method: scales fit the codes, and the error is less than that of rounding', () => {
    const target = Float64Array.of(0.9, 2.2, -3.3, 0.4);
    const grid = {
      part: new Int32Array(4),
      scale: Float64Array.of(1),
      zeroPoint: Int32Array.of(0),
      low: -8,
      high: 7,
      symmetric: true,
    };
    const made = fitScale.solve({ rows: 2, columns: 2, target, hessian: new Float64Array(4), grid });
    expect([...made.codes]).toEqual([1, 2, -3, 0]);
    expect(made.scale[0]).toBeCloseTo((0.9 + 4.4 + 9.9) / 14, 12);
  });
  it('format: weights have the values of their codes', () => {
    const model = parseModel(
      '<ir_version: 8, opset_import: ["" : 17]> g (float[1,2] x) => (float[1,2] y) <float[2,2] w> { y = MatMul(x, w) }',
      { randomInitializers: 1 },
    );
    const [weight] = model.graph.initializers;
    weight!.data = Tensor.f32(Float32Array.of(0.24, 0.26, -1, 0.5), [2, 2]); // the model has one
    const scheme: QuantScheme = { dtype: 'int8', symmetric: true, granularity: { kind: 'tensor' } };
    // as above
    const params = new Map([[weight!, { scheme, scale: Float32Array.of(0.5), zeroPoint: Int32Array.of(0) }]]);
    const planned = {
      plan: new Map(),
      integerNodes: new Set<never>(),
      weightOnlyNodes: new Set<never>(),
      fusedClamps: new Map(),
    };
    expect(simulated.rewrite({ model, planned, params, target: { onCodes: [] }, seed: 0 }).changes).toBe(1);
    expect([...weight!.data.f32()]).toEqual([0, 0.5, -1, 0.5]);
  });
  it('exporter: scales as hexadecimal digits, and no scale that is not symmetric', () => {
    const { graph } = parseModel(
      '<ir_version: 8, opset_import: ["" : 17]> g (float[1,2] x) => (float[1,2] y) { y = Relu(x) }',
    );
    const [x] = graph.inputs;
    const exported = (symmetric: boolean): unknown => {
      const scheme: QuantScheme = { dtype: 'int8', symmetric, granularity: { kind: 'tensor' } };
      // it has one
      const params = new Map([[x!, { scheme, scale: Float32Array.of(0.5), zeroPoint: Int32Array.of(0) }]]);
      return calibrationCache.export({ params } as never /* the rest is not read */, { header: 'h' });
    };
    expect(exported(true)).toEqual([{ path: 'calibration.cache', role: 'sidecar', data: 'h\nx: 3f000000\n' }]);
    expect(() => exported(false)).toThrow("'x' has no symmetric scale");
  });
});
