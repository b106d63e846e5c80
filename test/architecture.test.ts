/** Imports go down only, and a few things happen in one room only. ARCHITECTURE.md says why. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ops } from '../src/ops/index.js';
import { targets } from '../src/targets/index.js';

const src = fileURLToPath(new URL('../src', import.meta.url));
const LAYERS: Readonly<Record<string, number>> = {
  base: 0,
  ir: 1,
  record: 1,
  onnx: 2,
  scheme: 2,
  ops: 3,
  runtime: 4,
  targets: 6,
  rewrite: 4,
  data: 4,
  cost: 4,
  passes: 5,
  formats: 5,
  exporters: 5,
  calibrate: 5,
  evaluate: 5,
  channels: 5,
  autodiff: 6,
  layouts: 6,
  gate: 7,
  lint: 7,
  store: 7,
  codes: 7,
  quantize: 8,
  train: 7,
  adjust: 8,
  compress: 8,
  learn: 8,
  analyse: 9,
  qat: 9,
  recipe: 9,
  facts: 9,
  pipeline: 10,
  standalone: 11,
  compare: 11,
  search: 12,
  report: 12,
  cli: 13,
};
/** Files over 350 lines as formatted, each with its reason. */
const LONG: Readonly<Record<string, string>> = {
  'ir/graph.ts': "Value, Node and Graph keep each other's links right; apart, those links would be public",
  'ir/text/syntax.ts': 'one recursive grammar',
  'onnx/proto.js': 'generated',
  'onnx/proto.d.ts': 'generated',
};

/** Rooms that speak of single operators: what is known of them, rewriting, writing, and runtimes. */
const SPEAK_OF_OPS = ['ops', 'passes', 'formats', 'targets', 'lint'];
/** Names of operators that are tested elsewhere: how often in a file, and why. Everything else asks ops/. */
const NAMED_OPS: Readonly<Record<string, readonly [times: number, because: string]>> = {
  'ir/count.ts': [1, 'lies below ops/, and Constant is the form of a value, not work'],
  'rewrite/pattern.ts': [1, 'which orders of operands a pattern tries is part of what patterns are'],
  'rewrite/pass.ts': [1, 'counts nodes as ir/count.ts does, of a list made before a pass'],
  'runtime/inspect-optimized.ts': [2, "onnxruntime's own kernels, which no model that it is given has"],
  'runtime/profile.ts': [1, 'what onnxruntime puts between kernels'],
  'report/size.ts': [1, 'reads records alone, in which operators are names'],
  'cli/commands/optimize.ts': [1, 'reads what passes say, in which nodes are text'],
  'autodiff/batch-norm.ts': [1, 'the one operator that computes otherwise while it is trained'],
  'search/search.ts': [1, 'reads layers of a record, in which operators are names'],
};

const [MOST_READS, MOST_ASSERTED, MOST_REFERRING] = [1185, 263, 5];

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .map((f) => f.split(path.sep).join('/'))
  .filter((f) => /\.(ts|js)$/.test(f))
  .sort();
const text = (file: string): string => readFileSync(path.join(src, file), 'utf8');
const room = (file: string): string => file.split('/')[0]!; // split gives at least one piece
const written = files.filter((f) => !f.startsWith('onnx/proto.'));
/** Specifiers of static and dynamic imports and re-exports. */
const imports = (file: string): string[] =>
  // the pattern has one group
  [...text(file).matchAll(/(?:\bfrom\s*|\bimport\s*\(\s*|^\s*import\s+)'([^']+)'/gm)].map(([, s]) => s!);
/** Code without comments and strings, roughly: enough to look for identifiers. */
const code = (file: string): string =>
  text(file)
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|\s)\/\/.*$/gm, '')
    .replace(/'(?:[^'\\\n]|\\.)*'/g, "''");

describe('layers', () => {
  it('every file lies in a known room', () => {
    expect(written.filter((f) => f !== 'index.ts' && !(room(f) in LAYERS))).toEqual([]);
  });
  it.each(written.filter((f) => f !== 'index.ts'))('%s imports only rooms below its own', (file) => {
    const mine = LAYERS[room(file)] ?? -1;
    const wrong = imports(file)
      .filter((s) => s.startsWith('.'))
      .map((s) => path.posix.normalize(path.posix.join(path.posix.dirname(file), s)))
      .filter((target) => room(target) !== room(file) && !((LAYERS[room(target)] ?? 99) < mine));
    expect(wrong).toEqual([]);
  });
});

it('files do not import each other in circles', () => {
  const next = new Map(
    written.map((f) => [
      f,
      imports(f)
        .filter((s) => s.startsWith('.'))
        .map((s) => path.posix.normalize(path.posix.join(path.posix.dirname(f), s)).replace(/\.js$/, '.ts'))
        .filter((t) => written.includes(t)),
    ]),
  );
  // What is left when files that import nothing of the rest are taken away, again and again, holds every circle.
  const rest = new Set(written);
  for (let size = -1; size !== rest.size;) {
    size = rest.size;
    for (const f of rest) if (!next.get(f)?.some((t) => rest.has(t))) rest.delete(f);
  }
  const reached = (f: string): boolean => [...rest].some((o) => next.get(o)?.includes(f) === true);
  expect([...rest].filter(reached)).toEqual([]);
});
it('no file outside of targets/ knows a target by name', () => {
  const named = targets.map((t) => t.name);
  const knows = (f: string): boolean => named.some((n) => new RegExp(`['"\`]${n}['"\`]`).test(text(f)));
  expect(written.filter((f) => room(f) !== 'targets' && knows(f))).toEqual([]);
});

it('names of operators are tested in ops/, passes/ and formats/ only, but for what is listed', () => {
  const known = new Set(ops.map((o) => o.op));
  // Calls that make nodes name their operator.
  const makes = /(?:\bop|\bnew Node|\breduce|\bend|\bwhole|\bconvert|\badd|\bmake|\boverAxes|\bb\.node)\(\s*(?:s, )?$/;
  const quoted = /'([A-Z]\w*)'/g;
  const counted = written
    .filter((f) => f !== 'index.ts' && !f.startsWith('report/html/') && !SPEAK_OF_OPS.includes(room(f)))
    .map((f): [string, number] => {
      // A list counts once. Comments and types do not, and pages of reports have headings.
      const plain = text(f)
        .replace(/\/\*[\s\S]*?\*\//g, '')
        .replace(/(^|\s)\/\/.*$/gm, '')
        .replace(/'\w+'(?: \| '\w+')+/g, '')
        .replace(/\[\s*('\w+'),?(?:\s*'\w+',?)+\s*\]/g, '$1');
      const tests = [...plain.matchAll(quoted)].filter(
        (m) => known.has(m[1] ?? '') && !makes.test(plain.slice(0, m.index)),
      );
      const byPart = plain.match(/\.?\bop\b\)?\.(?:startsWith|endsWith|match)\(/g) ?? [];
      return [f, tests.length + byPart.length];
    })
    .filter(([, n]) => n > 0);
  expect(Object.fromEntries(counted)).toEqual(
    Object.fromEntries(Object.entries(NAMED_OPS).map(([f, [times]]) => [f, times])),
  );
  expect(counted.reduce((n, [, times]) => n + times, 0)).toBeLessThanOrEqual(10);
});

describe('walls', () => {
  const users = (pattern: RegExp, allowed: string): string[] =>
    files.filter((f) => room(f) !== allowed && imports(f).some((s) => pattern.test(s)));
  it('protobufjs is used in onnx/ only, and where Paddle programs are encoded', () =>
    expect(users(/^protobufjs/, 'onnx')).toEqual(['targets/paddle/encode.ts']));
  it('flatbuffers is used in targets/litert/ only', () =>
    expect(
      files.filter((f) => !f.startsWith('targets/litert/') && imports(f).some((s) => s.startsWith('flatbuffers'))),
    ).toEqual([]));
  it('onnxruntime-node is used in runtime/ only', () => expect(users(/^onnxruntime/, 'runtime')).toEqual([]));
  it('commander and cli-progress are used in cli/ only', () =>
    expect(users(/^(commander|cli-progress)$/, 'cli')).toEqual([]));
  it('console, process.exit and process.stdout are used in cli/ only', () => {
    expect(
      written.filter(
        (f) => room(f) !== 'cli' && /\bconsole\.|\bprocess\.(exit\b|exitCode|stdout|stderr|argv)/.test(code(f)),
      ),
    ).toEqual([]);
  });
  it('randomness comes from base/rng only', () => {
    expect(written.filter((f) => f !== 'base/rng.ts' && /\bMath\.random\b/.test(code(f)))).toEqual([]);
  });
  it('nothing heavy is loaded for --help', () => {
    const seen = new Set<string>();
    const packages = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      // Type imports and import() in functions are not loaded at start.
      for (const [, s] of text(file).matchAll(/^(?:import|export)\s+(?!type\b)[^;]*?from\s+'([^']+)'/gm)) {
        if (s!.startsWith('.'))
          // the pattern has one group
          visit(path.posix.normalize(path.posix.join(path.posix.dirname(file), s!)).replace(/\.js$/, '.ts'));
        else packages.add(s!);
      }
    };
    visit('cli/main.ts');
    expect([...packages].filter((p) => !p.startsWith('node:'))).toEqual(
      ['commander', 'string-width', 'wrap-ansi'] /* all that is said passes the last two, which have 10 kB */,
    );
  });
});

describe('files', () => {
  it('export by name', () => expect(written.filter((f) => /^export default\b/m.test(text(f)))).toEqual([]));
  it('have at most 350 lines, or a reason', () => {
    const long = files.filter((f) => text(f).split('\n').length > 351);
    expect(long.filter((f) => !(f in LONG))).toEqual([]);
    expect(
      Object.keys(LONG).filter((f) => !long.includes(f)),
      'listed as long, but is not',
    ).toEqual([]);
  });
  it('end their lines at 120 columns, but for texts that cannot be parted', () => {
    const lines = files.filter((f) => !f.startsWith('onnx/proto')).flatMap((f) => text(f).split('\n'));
    expect(lines.filter((l) => [...l].length > 120).length / lines.length).toBeLessThan(0.002);
  });
  it('assert that something is there no more often than they did', () => {
    // Loops over numbers read `list[i]!`; elsewhere base/lists.ts and ir/known.ts name what is missing. Only downwards.
    const all = written.map((f) => code(f).match(/[\w\])]!(?!=)/g) ?? []).flat();
    expect(all.filter((m) => m === ']!').length).toBeLessThanOrEqual(MOST_READS);
    expect(all.filter((m) => m !== ']!').length).toBeLessThanOrEqual(MOST_ASSERTED);
    const again = written.filter((f) => /\bas above\b/i.test(text(f)));
    expect(again.length).toBeLessThanOrEqual(MOST_REFERRING);
  });
  it('begin with what they are for, or import right away', () => {
    expect(written.filter((f) => !/^(\/\*\*|import |export )/.test(text(f)))).toEqual([]);
  });
});
