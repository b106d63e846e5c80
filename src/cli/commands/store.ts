/** `quantize store`: versions of models, their stages, and the log of both. */
import { realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { fail } from '../../base/errors.js';
import { bytesText } from '../../base/text.js';
import type { RunRecord } from '../../record/index.js';
import { checkName, differences, openStore, parseReference, type Version } from '../../store/index.js';
import type { CommandContext } from '../context.js';
import { table } from '../layout.js';

export interface StoreFlags {
  readonly store: string;
  readonly json?: true;
}
type Job = (context: CommandContext) => Promise<number>;

/** Throws what Store.addRun and Store.addFiles throw, and MODEL_* for a model that cannot be read. */
export const add =
  (target: string, flags: StoreFlags & { readonly name: string }): Job =>
  async ({ terminal }) => {
    checkName(flags.name); // before a large model is read
    const store = openStore(flags.store);
    const isRun = /\.json$/i.test(target) || statSync(target, { throwIfNoEntry: false })?.isDirectory() === true;
    const version = isRun
      ? await store.addRun(flags.name, target)
      : await store.addFiles(flags.name, path.basename(target), await modelFiles(target));
    terminal.data(flags.json ? json(version) : `${labelOf(version)}\n`);
    if (!version.gate && !flags.json)
      terminal.say(`${isRun ? 'the run' : 'a model without a run'} has no gate: only --force promotes it`);
    return 0;
  };

/** The model and the data files beside it. */
async function modelFiles(file: string): Promise<{ path: string; source: string }[]> {
  const [{ loadModel }, { dataFiles }] = await Promise.all([
    import('../../onnx/files.js'),
    import('../../pipeline/sources.js'),
  ]);
  const data = dataFiles(loadModel(file)); // which refuses data outside of the folder
  const folder = realpathSync(path.dirname(file));
  return [
    { path: path.basename(file), source: file },
    ...[...data].map((source) => ({
      path: path.relative(folder, realpathSync(source)).split(path.sep).join('/'),
      source,
    })),
  ];
}

export const list =
  (flags: StoreFlags): Job =>
  async ({ terminal }) => {
    const names = openStore(flags.store).list();
    if (flags.json) terminal.data(json(names));
    else {
      const rows = names.flatMap((n) =>
        [...n.versions]
          .reverse()
          .map((v) => [labelOf(v), v.stage, v.gate?.verdict ?? 'no gate', bytesText(bytesOf(v)), v.source, v.addedAt]),
      );
      terminal.data(`${table([['version', 'stage', 'gate', 'size', 'source', 'added'], ...rows], [3]).join('\n')}\n`);
    }
    return 0;
  };

export const show =
  (reference: string, flags: StoreFlags): Job =>
  async ({ terminal }) => {
    const store = openStore(flags.store);
    const version = store.find(parseReference(reference));
    const files = version.files.map((f) => ({ ...f, stored: store.pathOf(f) }));
    if (flags.json) {
      terminal.data(json({ ...version, files }));
      return 0;
    }
    const record = store.record(version);
    terminal.data(
      `${[
        ...table([
          ['version', labelOf(version)],
          ['stage', version.stage],
          ['source', version.source],
          ['added', version.addedAt],
          ...(record ? resultRows(record) : []),
        ]),
        ...(version.gate
          ? [
              '',
              `gate ${version.gate.verdict}, against ${version.gate.against}`,
              ...table(version.gate.rules.map((r) => [`  ${r.verdict}`, r.name, r.text])),
            ]
          : []),
        '',
        ...table([['file', 'size', 'sha256'], ...files.map((f) => [f.path, bytesText(f.bytes), f.sha256])], [1]),
      ].join('\n')}\n`,
    );
    return 0;
  };
const resultRows = (r: RunRecord): string[][] => [
  ...(r.evaluation?.metrics ?? []).map((m) => [
    m.name,
    `${Number(m.quantized.toPrecision(5))} ` +
      `${m.unit}${m.float === undefined ? '' : `, float ${Number(m.float.toPrecision(5))}`}`,
  ]),
  ...(r.latency
    ? [
        [
          'latency p50',
          `${r.latency.quantizedMs.p50.toPrecision(3)} ms, float ${r.latency.floatMs.p50.toPrecision(3)} ms`,
        ],
      ]
    : []),
];

export const get =
  (reference: string, flags: StoreFlags & { readonly out: string }): Job =>
  async ({ terminal }) => {
    const store = openStore(flags.store);
    const version = store.find(parseReference(reference));
    const files = store.copyTo(version, flags.out);
    terminal.data(flags.json ? json({ ...version, files }) : files.map((f) => `${f}\n`).join(''));
    return 0;
  };

export const promote =
  (reference: string, flags: StoreFlags & { readonly to: string; readonly force?: true }): Job =>
  async ({ terminal }) => {
    const { to } = flags;
    if (to !== 'canary' && to !== 'production')
      return fail('USAGE', `"${to}" is not a stage to promote to`, {}, 'stages: canary, then production');
    const version = await openStore(flags.store).promote(parseReference(reference), to, flags.force === true);
    terminal.data(flags.json ? json(version) : `${labelOf(version)} is in ${to}\n`);
    return 0;
  };

export const rollback =
  (name: string, flags: StoreFlags): Job =>
  async ({ terminal }) => {
    const version = await openStore(flags.store).rollback(name);
    terminal.data(flags.json ? json(version) : `${labelOf(version)} is in production again\n`);
    return 0;
  };

export const diff =
  (a: string, b: string, flags: StoreFlags): Job =>
  async ({ terminal }) => {
    const store = openStore(flags.store);
    const [x, y] = [store.find(parseReference(a)), store.find(parseReference(b))];
    const rows = differences(x, y, store.record(x), store.record(y));
    if (flags.json) terminal.data(json({ before: labelOf(x), after: labelOf(y), differences: rows }));
    else {
      const cell = (value: string | number | undefined, unit = ''): string =>
        value === undefined
          ? '–'
          : typeof value === 'number'
            ? `${Number(value.toPrecision(6))} ${unit}`.trimEnd()
            : /^[0-9a-f]{64}$/.test(value)
              ? value.slice(0, 12)
              : value;
      terminal.data(
        rows.length
          ? `${table([
              ['', labelOf(x), labelOf(y)],
              ...rows.map((r) => [r.what, cell(r.before, r.unit), cell(r.after, r.unit)]),
            ]).join('\n')}\n`
          : `${labelOf(x)} and ${labelOf(y)} do not differ\n`,
      );
    }
    return 0;
  };

/** Gives 0, or 3 where something is damaged. */
export const verify =
  (flags: StoreFlags): Job =>
  async ({ terminal }) => {
    const found = openStore(flags.store).verify();
    if (flags.json) terminal.data(json(found));
    else {
      terminal.data(
        `${[
          ...table(found.problems.map((p) => [p])),
          `${
            found.problems.length ? `${found.problems.length} problems in` : 'whole:'
          } ${found.versions} versions of ${found.files} files, ${bytesText(found.bytes)}`,
        ].join('\n')}\n`,
      );
      if (found.unused)
        terminal.say(`${found.unused} stored files belong to no version: an add was stopped; they do no harm`);
      if (found.torn)
        terminal.say(
          `the last line of the log is torn (${found.torn} bytes): a change was stopped; the next one cuts it off`,
        );
    }
    return found.problems.length ? 3 : 0;
  };

const labelOf = (v: Version): string => `${v.name}@${v.version}`;
const bytesOf = (v: Version): number => v.files.filter((f) => f.path !== 'run.json').reduce((n, f) => n + f.bytes, 0);
const json = (value: unknown): string => `${JSON.stringify(value, null, 1)}\n`;
