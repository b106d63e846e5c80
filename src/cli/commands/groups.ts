/** `quantize groups`: which channels go together, how much they matter, and what the model saves without some. */
import { fail } from '../../base/errors.js';
import { bytesText, countText, oneLine } from '../../base/text.js';
import { loadRecipe } from '../../recipe/load.js';
import type { ChannelGroup, ModelGroups } from '../../standalone/groups.js';
import type { CommandContext } from '../context.js';
import { table } from '../layout.js';

export interface GroupsFlags {
  readonly importance: string;
  readonly share: string;
  readonly recipe?: string;
  readonly latency?: true;
  readonly runs: string;
  readonly threads: string;
  readonly scan?: string;
  readonly tensors?: true;
  readonly json?: true;
}

/** Throws MODEL_*, DATA_*, USAGE; gives exit code 0. */
export async function groups(file: string, flags: GroupsFlags, { terminal, signal }: CommandContext): Promise<number> {
  const share = Number(flags.share);
  if (!(share > 0 && share < 1)) fail('USAGE', `--share is "${flags.share}"; it must be between 0 and 1`);
  const whole = (key: 'runs' | 'threads'): number => {
    const n = Number(flags[key]);
    return Number.isInteger(n) && n >= 1 && n <= 1e6
      ? n
      : fail('USAGE', `--${key} is "${flags[key]}"; it must be a whole number from 1 on`);
  };
  const latency = flags.latency ? { runs: whole('runs'), warmup: 5, threads: whole('threads') } : undefined;
  const scan = flags.scan?.split(',').map(Number);
  if (scan && !scan.every((v) => v > 0 && v < 1))
    fail('USAGE', `--scan is "${flags.scan}"`, {}, 'it lists shares between 0 and 1, such as --scan 0.25,0.5,0.75');
  const { modelGroups } = await import('../../standalone/groups.js');
  const recipe = flags.recipe === undefined ? undefined : await loadRecipe(flags.recipe, { model: file });
  const found = await modelGroups({
    file,
    share,
    recipe,
    latency,
    scan,
    importance: { name: flags.importance },
    signal,
  });
  terminal.data(flags.json ? `${JSON.stringify(found, null, 1)}\n` : textOf(found, flags.tensors === true));
  return 0;
}

function textOf(m: ModelGroups, tensors: boolean): string {
  const of = (part: number, all: number): string => `${((100 * part) / Math.max(1, all)).toFixed(1)} %`;
  const percent = `${Math.round(100 * m.share)} %`;
  const row = (g: ChannelGroup): string[] => [
    nameOf(g),
    g.each > 1 ? `${g.units} × ${g.each}` : `${g.units}`,
    g.summed ? 'sum' : '',
    [g.importance.least, g.importance.median, g.importance.greatest].map(short).join(' · '),
    countText(g.one.macs),
    bytesText(g.one.bytes),
    `${g.taken}`,
    of(g.some.macs, m.macs),
    of(g.some.bytes, m.bytes),
    ...(m.ms === undefined ? [] : [msText(g)]),
    ...(g.scan ?? []).map(({ change }) => `${(100 * change).toPrecision(2)} %`),
  ];
  const head = [
    'made by',
    'channels',
    'tied by',
    `${m.importance}: least · median · greatest`,
    'one: MACs',
    'bytes',
    percent,
    'MACs',
    'bytes',
    ...(m.ms === undefined ? [] : ['ms (95 % CI)']),
    ...(m.groups[0]?.scan ?? []).map(({ share }) => `change at ${Math.round(100 * share)} %`),
  ];
  const lists = tensors
    ? m.groups.flatMap((g) => [
        '',
        `${nameOf(g)}:`,
        ...g.tensors.map((t) => `  axis ${t.axis} of ${t.constant ? 'constant ' : ''}${oneLine(t.name)}`),
      ])
    : [];
  const all = m.groups.reduce((n, g) => n + g.units, 0);
  const shapes = Object.entries(m.inputShapes).map(([name, dims]) => `${oneLine(name)} [${dims.join(', ')}]`);
  const lines = m.groups.length
    ? [...table([head, ...m.groups.map(row)], [1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]), ...lists, '']
    : ['no channels can be taken out: callers, sums or operators that nothing is known of hold all of them'];
  lines.push(
    `${m.groups.length} groups of ${all} channels or heads; ${countText(m.macs)} MACs, ${countText(m.parameters)} parameters, ` +
      `${bytesText(m.bytes)} of constants${m.ms === undefined ? '' : `, ${m.ms.toFixed(3)} ms`}; ${shapes.join(', ')}`,
  );
  return `${lines.join('\n')}\n`;
}

/** The first weight that makes the channels, and how many others do. */
function nameOf({ makers }: ChannelGroup): string {
  const [first = '', ...others] = makers;
  const name = first.length > 44 ? `…${first.slice(-43)}` : first;
  return `${oneLine(name)}${others.length ? ` and ${others.length} more` : ''}`;
}
const short = (v: number): string =>
  v === 0 || !Number.isFinite(v) ? `${v}` : v >= 100 ? countText(Math.round(v)) : v.toPrecision(2);
const msText = ({ some: { ms, msInterval: i } }: ChannelGroup): string =>
  ms === undefined ? '' : `${ms.toFixed(3)}${i ? ` (${i[0].toFixed(3)} to ${i[1].toFixed(3)})` : ''}`;
