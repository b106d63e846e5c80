/** What differs between two versions: files, and what their runs measured. */
import type { RunRecord } from '../record/index.js';
import type { Version } from './state.js';

export interface Difference {
  readonly what: string;
  /** Absent where one side has none. */
  readonly before?: string | number;
  readonly after?: string | number;
  readonly unit?: string;
}

/** Every fact that both versions do not share. `before` and `after` are their records, where they are runs. */
export function differences(
  a: Version,
  b: Version,
  before: RunRecord | undefined,
  after: RunRecord | undefined,
): readonly Difference[] {
  const facts = [factsOf(a, before), factsOf(b, after)] as const;
  const keys = [...new Set([...facts[0].keys(), ...facts[1].keys()])];
  return keys.flatMap((what) => {
    const [x, y] = [facts[0].get(what), facts[1].get(what)];
    if (x?.value === y?.value) return [];
    const unit = x?.unit ?? y?.unit;
    return [
      {
        what,
        ...(x ? { before: x.value } : {}),
        ...(y ? { after: y.value } : {}),
        ...(unit === undefined ? {} : { unit }),
      },
    ];
  });
}

type Fact = { readonly value: string | number; readonly unit?: string };

function factsOf(version: Version, record: RunRecord | undefined): ReadonlyMap<string, Fact> {
  const facts = new Map<string, Fact>();
  const put = (what: string, value: string | number | undefined, unit?: string): void => {
    if (value !== undefined) facts.set(what, { value, ...(unit === undefined ? {} : { unit }) });
  };
  put('source', version.source);
  put('gate', version.gate?.verdict);
  for (const f of version.files)
    if (f.path !== 'run.json') {
      put(`file ${f.path}`, f.sha256);
      put(`bytes of ${f.path}`, f.bytes, 'B');
    }
  if (!record) return facts;
  put('quantbench', record.quantbench);
  put('float model', record.model.float.sha256);
  put('onnxruntime', record.environment.onnxruntime);
  put('CPU', record.environment.cpu);
  for (const m of record.evaluation?.metrics ?? []) put(m.name, m.quantized, m.unit);
  put('same answer as float', record.evaluation?.agreement?.same);
  put('latency p50', record.latency?.quantizedMs.p50, 'ms');
  put('speed-up', record.latency?.speedup, '×');
  put('integer MACs', record.runtime?.integerMacsShare);
  for (const [key, value] of leaves(record.recipe.resolved, 'recipe')) put(key, value);
  return facts;
}

/** Scalars of a value by their path, such as recipe.quantize.format. */
function leaves(value: unknown, at: string): [string, string][] {
  if (typeof value !== 'object' || value === null) return [[at, String(value)]];
  return Object.entries(value).flatMap(([key, v]) => leaves(v, `${at}.${key}`));
}
