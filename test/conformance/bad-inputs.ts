/** Runs bad inputs through the whole job, and checks what must hold after every one of them. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, vi } from 'vitest';
import type { ErrorCode, Where } from '../../src/base/errors.js';
import { createRng } from '../../src/base/rng.js';
import { main } from '../../src/cli/main.js';
import type { Model } from '../../src/ir/model.js';
import { parseModel } from '../../src/ir/text/parse.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { loadModel } from '../../src/onnx/files.js';
import { onnx } from '../../src/onnx/proto.js';
import type { RunRecord } from '../../src/record/index.js';
import { f32, npy } from '../rooms/data/helpers.js';

export type ModelMessage = onnx.ModelProto.$Properties;

/** Conv, Relu, Gemm: [batch, 1, 4, 4] → [batch, 3]. */
export const TINY = `<ir_version: 8, opset_import: ["" : 17]>
tiny (float[batch,1,4,4] x) => (float[batch,3] y)
<float[2,1,3,3] w, float[2] b = {0.5, -0.25}, float[3,8] g, float[3] h = {0.1, 0, -0.1}> {
  [conv] c = Conv<pads = [1,1,1,1], strides = [2,2]>(x, w, b)
  [relu] r = Relu(c)
  [flatten] f = Flatten(r)
  [gemm] y = Gemm<transB = 1>(f, g, h)
}`;
const tinyBytes = encodeModel(parseModel(TINY, { randomInitializers: 3 }));

export const textModel = (text: string): Uint8Array => encodeModel(parseModel(text, { randomInitializers: 3 }));
/** The tiny model as a message, changed by `edit`. */
export function tiny(
  edit: (model: ModelMessage, graph: onnx.GraphProto.$Properties) => void = () => undefined,
): Uint8Array {
  const message: ModelMessage = onnx.ModelProto.decode(tinyBytes);
  edit(message, message.graph!); // the tiny model has a graph
  return onnx.ModelProto.encode(message).finish();
}
/** The initializer `name` of the tiny model. */
export const initializer = (graph: onnx.GraphProto.$Properties, name: string): onnx.TensorProto.$Properties =>
  graph.initializer!.find((t) => t.name === name)!; // tests name those that exist
/** The tiny model with other values in one float32 initializer. */
export const withValues = (name: string, change: (values: Float32Array) => void): Uint8Array =>
  tiny((_, graph) => {
    const tensor = initializer(graph, name);
    const values = new Float32Array(tensor.rawData!.slice().buffer);
    change(values);
    tensor.rawData = new Uint8Array(values.buffer);
  });

/** `count` standard normal samples for the tiny model, as .npy; `change` edits them. */
export function samples(count: number, change: (values: Float32Array) => void = () => undefined): Uint8Array {
  const rng = createRng(5, 'bad inputs');
  const values = Float32Array.from({ length: count * 16 }, () => rng.normal());
  change(values);
  return npy('<f4', [count, 1, 4, 4], f32(...values));
}

/** What a row brings: files by name relative to its folder. Defaults: the tiny model, eight samples. */
export interface Row {
  readonly name: string;
  readonly model?: Uint8Array | (() => Uint8Array);
  readonly files?: Readonly<Record<string, Uint8Array | string>>;
  /** Anything that files cannot say: links, folders. */
  readonly prepare?: (folder: string) => void;
  /** `calibration.data`; YAML in flow style. */
  readonly data?: string;
  /** Further lines of the recipe. */
  readonly recipe?: string;
  /** Replaces the whole recipe. */
  readonly wholeRecipe?: string | Uint8Array;
  readonly argv?: readonly string[];
  readonly fails?: { readonly code: ErrorCode; readonly where?: Where; readonly says?: RegExp };
  readonly holds?: (done: Done) => void;
}
export interface Done {
  readonly record: RunRecord;
  readonly model: Model;
  readonly folder: string;
  readonly err: string;
  codes(): string[];
}

const EARLIER: Readonly<Record<string, string>> = {
  'model.onnx': 'an earlier model',
  'run.json': '{"earlier":true}',
  'report.md': 'earlier',
  'report.html': 'earlier',
};
const root = mkdtempSync(path.join(tmpdir(), 'quantbench-bad-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let next = 0;

/** A folder with a row's files and an output folder that holds earlier results. */
export function lay(row: Row): string {
  const folder = path.join(root, `${next++}`);
  mkdirSync(path.join(folder, 'out'), { recursive: true });
  const put = (name: string, content: Uint8Array | string): void => {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content);
  };
  for (const [name, text] of Object.entries(EARLIER)) put(`out/${name}`, text);
  put('m.onnx', typeof row.model === 'function' ? row.model() : (row.model ?? tinyBytes));
  put('x.npy', samples(8));
  for (const [name, content] of Object.entries(row.files ?? {})) put(name, content);
  row.prepare?.(folder);
  put(
    'r.yaml',
    row.wholeRecipe ??
      `version: 1\nmodel: m.onnx\ncalibration:\n  data: ${row.data ?? '{ npy: x.npy }'}\n  cache: false\n` +
        `evaluation: { latency: false, collapse: 0 }\n${row.recipe ?? ''}`,
  );
  return folder;
}

/**
 * Runs a command line in this process with its output caught; nothing may be left rejected, and nothing may be a bug of
 * ours.
 */
export async function job(argv: readonly string[]): Promise<{ exit: number; stdout: string; stderr: string }> {
  const strays: unknown[] = [];
  const onStray = (e: unknown): void => {
    strays.push(e);
  };
  process.prependListener('unhandledRejection', onStray).prependListener('uncaughtException', onStray);
  let [stdout, stderr] = ['', ''];
  const written = (done: unknown): true => {
    if (typeof done === 'function') (done as () => void)(); // a callback of a stream
    return true;
  };
  vi.spyOn(process.stdout, 'write').mockImplementation((s, done) => {
    stdout += String(s);
    return written(done);
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((s, done) => {
    stderr += String(s);
    return written(done);
  });
  vi.spyOn(process, 'exit').mockImplementation((code) => {
    throw new Error(`process.exit(${String(code)})`);
  });
  let exit: number;
  try {
    exit = await main(argv);
    await new Promise((resolve) => {
      setImmediate(resolve);
    }); // rejections surface after a turn
  } finally {
    vi.restoreAllMocks();
    process.off('unhandledRejection', onStray).off('uncaughtException', onStray);
  }
  expect(strays).toEqual([]);
  expect(stderr).not.toContain('INTERNAL');
  // names of models and data must not drive the terminal
  expect(stderr).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]/);
  return { exit, stdout, stderr };
}

/** Runs a row's job in this process and checks exit code, error, place, output folder and stray rejections. */
export async function check(row: Row): Promise<void> {
  const folder = lay(row);
  const out = path.join(folder, 'out');
  const { exit, stdout, stderr } = await job([
    '--recipe',
    path.join(folder, 'r.yaml'),
    '--out',
    out,
    '--json',
    ...(row.argv ?? []),
  ]);
  if (row.fails) {
    expect(exit, `was accepted: ${stderr}`).not.toBe(0);
    // what --json prints for failures
    const { error } = JSON.parse(stdout) as { error: { code: ErrorCode; message: string; where: Where } };
    expect([error.code, exit], stderr).toEqual([row.fails.code, /^(USAGE|RECIPE_)/.test(row.fails.code) ? 2 : 3]);
    if (row.fails.where) expect(error.where).toMatchObject(row.fails.where);
    if (row.fails.says) expect(error.message).toMatch(row.fails.says);
    expect(contents(out)).toEqual(EARLIER);
    return;
  }
  expect(exit, stderr).toBe(0);
  expect(readdirSync(out).filter((n) => !/^(model\.onnx(\..*)?|run\.json|report\.(md|html))$/.test(n))).toEqual([]);
  const record = JSON.parse(stdout) as RunRecord; // what --json prints
  expect(record).toMatchObject({ outcome: 'ok' });
  for (const p of record.points)
    for (const s of p.scale ?? []) expect(Number.isFinite(s) && s >= 2 ** -126, `scale ${s} of ${p.name}`).toBe(true);
  row.holds?.({
    record,
    model: loadModel(path.join(out, 'model.onnx')),
    folder,
    err: stderr,
    codes: () => record.diagnostics.map((d) => d.code),
  });
}

/** Every file of a folder with its text. */
export const contents = (folder: string): Record<string, string> =>
  Object.fromEntries(readdirSync(folder).map((n) => [n, readFileSync(path.join(folder, n), 'latin1')]));
export const earlier = EARLIER;
