/** Codes that are written down: a run that was stopped anywhere goes on to the same bytes. */
import { createHash } from 'node:crypto';
import { appendFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { weightMethods } from '../../../src/codes/index.js';
import { FeedKeeper } from '../../../src/codes/kept-feeds.js';
import { Frontier } from '../../../src/codes/frontier.js';
import { quantizeLayerwise } from '../../../src/codes/run.js';
import type { Diagnostic } from '../../../src/base/errors.js';
import { cloneModel } from '../../../src/ir/clone.js';
import { float16ToNumber, numberToFloat16 } from '../../../src/ir/convert.js';
import type { Feed, FeedTensor } from '../../../src/ir/feed.js';
import { openModel } from '../../../src/runtime/open.js';
import { inTurn } from '../../../src/data/batch.js';
import { f32, header, prepareText } from '../analyse/helpers.js';

const root = mkdtempSync(path.join(tmpdir(), 'quantbench-journal-'));
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});
let folders = 0;
const folder = (): string => path.join(root, String(folders++));

const net = `${header}\ng (float[N,64] x, int64[N] ids) => (float[N,5] y)
<float[77,64] table, float[64,64] w1, float[64] b1, float[64,64] w2, float[64,64] w3, float[64,5] w4, float[5] b4> {
  e = Gather(table, ids) s = Add(x, e)
  [one] a = MatMul(s, w1) b = Add(a, b1) c = Relu(b)
  [two] d = MatMul(c, w2) [three] f = MatMul(c, w3) g = Mul(d, f) h = Add(g, s)
  [four] y = Gemm(h, w4, b4) }`;
const feeds: Feed[] = Array.from({ length: 3 }, (_, k) => ({
  x: f32(
    Array.from({ length: 256 }, (_x, i) => Math.sin(i * (k + 1))),
    [4, 64],
  ),
  ids: { dtype: 'int64', dims: [4], data: BigInt64Array.from([0n, 3n, 6n, BigInt(k)]) },
}));

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex').slice(0, 12);
class Stop extends Error {}

/** Bytes of all weights and biases, by name, and the parameters that were chosen. */
async function run(o: { journal?: string; key?: string; stopAt?: number; told?: Diagnostic[] } = {}): Promise<unknown> {
  const settings =
    'weights: { dtype: int4, granularity: { block: 16 }, correct: [bias] }\nembeddings: int4\nstandardOps: true';
  const c = await prepareText(net, 'weight-only', { settings, feeds });
  const reference = cloneModel(c.model);
  let left = o.stopAt ?? Infinity;
  const made = await quantizeLayerwise({
    model: c.model,
    reference,
    planned: c.planned,
    params: c.params,
    method: weightMethods.find((m) => m.name === 'gptq')!,
    methodOptions: { actOrder: true, scaleSearch: 10, sweeps: 2 },
    damping: 0.01,
    matchFloat: true,
    hasInputs: true,
    correctBias: true,
    correctScale: false,
    feeds: () => inTurn(feeds),
    samples: 12,
    totalFeeds: 3,
    threads: 1,
    report: (d) => o.told?.push(d),
    onEvent: () => {
      if (left-- <= 0) throw new Stop();
    },
    ...(o.journal ? { journal: { folder: o.journal, key: o.key ?? 'a'.repeat(64) } } : {}),
  });
  const values = [...c.model.graph.initializers].map((v) => [v.name, sha256(v.data!.bytes())]);
  const params = [...made.params].map(([p, q]) => [
    'uses' in p ? p.name : p.index,
    sha256(new Uint8Array(Float32Array.from(q.scale).buffer)),
    sha256(new Uint8Array(Int32Array.from(q.zeroPoint).buffer)),
  ]);
  return { values, params, layers: made.layers, biases: made.biases };
}
const filesIn = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((f) => !f.endsWith('.qbcodes'))
    .sort();

describe('codes that are written down', () => {
  it('are those of a run that writes nothing', async () => {
    const plain = await run();
    expect(await run({ journal: folder() })).toEqual(plain);
    expect((plain as { biases: number; layers: number }).layers).toBe(4);
  });

  // two passes of three feeds: w2 and w3 read the same
  it.each([0, 1, 2, 3, 4, 5, 6])('go on to the same bytes when stopped after %d feeds', async (stopAt) => {
    const journal = folder();
    const whole = await run();
    if (stopAt < 6) await expect(run({ journal, stopAt })).rejects.toThrow(Stop);
    else await run({ journal, stopAt });
    const told: Diagnostic[] = [];
    expect(await run({ journal, told })).toEqual(whole);
    expect(told).toEqual([]);
    // all is done: nothing is measured again
    expect(await run({ journal, stopAt: 0 })).toEqual(whole);
    expect(filesIn(journal).every((f) => /step-\d{4}$/.test(f))).toBe(true);
  });

  it('are of one key', async () => {
    const journal = folder();
    await run({ journal });
    await expect(run({ journal, key: 'b'.repeat(64), stopAt: 0 })).rejects.toThrow(Stop);
  });

  it.each(['step-0000', 'step-0001'])('are chosen again from a damaged file on: %s', async (name) => {
    const journal = folder();
    await expect(run({ journal, stopAt: 5 })).rejects.toThrow(Stop);
    appendFileSync(path.join(journal, `${'a'.repeat(32)}.qbcodes`, name), 'x');
    const told: Diagnostic[] = [];
    expect(await run({ journal, told })).toEqual(await run());
    expect(told.map((d) => d.code)[0]).toBe('WEIGHTS_CHECKPOINT');
    expect(told[0]!.message).toContain('damaged');
  });

  it('are chosen anew where what layers are given is lost', async () => {
    const journal = folder();
    await expect(run({ journal, stopAt: 5 })).rejects.toThrow(Stop);
    const dir = path.join(journal, `${'a'.repeat(32)}.qbcodes`);
    for (const f of readdirSync(dir)) if (f.startsWith('given-')) writeFileSync(path.join(dir, f), 'short');
    const told: Diagnostic[] = [];
    expect(await run({ journal, told })).toEqual(await run());
    expect(told[0]!.message).toContain('is lost');
  });
});

it('are chosen for float16 weights too, and are float16 again', async () => {
  const half = net.replaceAll('float[', 'float16[');
  const bits = (t: FeedTensor): FeedTensor => ({
    ...t,
    dtype: 'float16',
    data: Uint16Array.from(t.data as Float32Array, numberToFloat16),
  });
  const given = feeds.map((f) => ({ ...f, x: bits(f.x!) }));
  const error = async (name: string): Promise<number> => {
    const settings = 'weights: { dtype: int4, granularity: { block: 16 } }\nstandardOps: true';
    const c = await prepareText(half, 'weight-only', { settings, feeds: given });
    const reference = cloneModel(c.model);
    const { layers } = await quantizeLayerwise({
      ...{ model: c.model, reference, planned: c.planned, params: c.params },
      ...{ method: weightMethods.find((m) => m.name === name)!, damping: 0.01, matchFloat: true, hasInputs: true },
      methodOptions: name === 'gptq' ? { actOrder: true, scaleSearch: 10, sweeps: 2 } : {},
      ...{ correctBias: false, correctScale: false, feeds: () => inTurn(given), samples: 12, threads: 1 },
      report: () => undefined,
    });
    expect(layers).toBeGreaterThanOrEqual(3);
    const weights = [...c.model.graph.initializers].filter((v) => /^w\d$/.test(v.name));
    expect(weights.map((v) => v.data!.dtype)).toEqual(weights.map(() => 'float16'));
    const [a, b] = [await openModel(reference.model), await openModel(c.model)];
    let sum = 0;
    for (const f of given) {
      const [x, y] = [await a.run(f), await b.run(f)].map((o) => Array.from(o.y!.data as Uint16Array, float16ToNumber));
      x!.forEach((v, i) => (sum += (v - y![i]!) ** 2));
    }
    await a.close();
    await b.close();
    return sum;
  };
  expect(await error('gptq')).toBeLessThan(0.7 * (await error('round')));
});

describe('what passes through the model', () => {
  const names = new Set(['x']);
  it('goes through a file beyond its memory, and is what it was', async () => {
    const frontier = new Frontier(() => inTurn(feeds), { most: 1500 });
    const collector = frontier.collector(names);
    for (const f of feeds) collector.add(f, { x: f.x! });
    collector.finish();
    const { index } = frontier.reached;
    expect(index?.feeds.map((f) => f.map((t) => [t.name, t.dtype, t.dims]))).toEqual(
      feeds.map(() => [['x', 'float32', [4, 64]]]),
    );
    for (let again = 0; again < 2; again++) {
      const given: Feed[] = [];
      for await (const f of frontier.feeds()) given.push(f);
      expect(given).toEqual(feeds.map((f) => ({ x: f.x })));
    }
    const dir = path.dirname(index!.file);
    frontier.close();
    expect(() => readdirSync(dir)).toThrow('ENOENT');
  });

  it('is computed again where there is no room for it, unless a run must go on from there', () => {
    const keeper = (optional: boolean): FeedKeeper =>
      new FeedKeeper({ most: 300, folder: () => '/dev/null', ...(optional ? { optional } : {}) }, 'given');
    const free = keeper(true);
    for (const f of feeds) free.add(f);
    expect(free.finish()).toBeUndefined();
    expect(() => {
      keeper(false).add(feeds[0]!);
    }).toThrow(expect.objectContaining({ code: 'OUTPUT_WRITE' }) as Error);
  });

  it('stays in memory where it fits', () => {
    const frontier = new Frontier(() => inTurn(feeds), { most: 3 * 1024 });
    const collector = frontier.collector(names);
    for (const f of feeds) collector.add(f, { x: f.x! });
    collector.finish();
    expect(frontier.reached).toEqual({ index: undefined, names: ['x'] });
  });
});
