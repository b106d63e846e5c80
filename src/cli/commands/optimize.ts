/** `quantize optimize`: a smaller graph with the same outputs. */
import { item } from '../../base/lists.js';
import { fail } from '../../base/errors.js';
import { bytesText, oneLine } from '../../base/text.js';
import { optimizing, type OptimizeLevel } from '../../passes/presets.js';
import { optimizeFile } from '../../standalone/optimize.js';
import { loadPlugins, type Plugins } from '../../recipe/plugins.js';
import type { PassTrace } from '../../rewrite/pass.js';
import type { CommandContext } from '../context.js';
import { table } from '../layout.js';

export interface OptimizeFlags {
  readonly out: string;
  readonly level: string;
  readonly explain?: true;
  readonly passes?: string;
  readonly skip?: string;
  readonly target?: string;
  readonly plugin?: readonly string[];
  readonly json?: true;
  readonly quiet?: true;
}

/** Throws USAGE for an unknown level or pass, MODEL_* for a bad model, OPTIMIZE_VERIFY where outputs would change. */
export async function optimize(file: string, flags: OptimizeFlags, { terminal }: CommandContext): Promise<number> {
  const level =
    Object.keys(optimizing).find((l): l is OptimizeLevel => l === flags.level) ??
    fail('USAGE', `--level takes ${Object.keys(optimizing).join(', ')}, not "${flags.level}"`);
  const names = (text: string | undefined): string[] | undefined =>
    text
      ?.split(',')
      .map((n) => n.trim())
      .filter(Boolean);
  const plugins = await loadPlugins(flags.plugin ?? []);
  const result = await optimizeFile(file, flags.out, {
    level,
    plugins,
    passes: names(flags.passes),
    skip: names(flags.skip),
    target: flags.target,
    report: (d) => {
      if (!flags.quiet) terminal.say(`${d.severity}: ${d.message}`);
    },
  });
  const { nodes, opset, traces, agreement, files } = result;
  if (flags.json) {
    terminal.data(
      `${JSON.stringify(
        {
          file,
          out: flags.out,
          level,
          nodes,
          opset,
          bytes: files.reduce((n, f) => n + f.bytes, 0),
          agreement,
          passes: traces,
        },
        null,
        1,
      )}\n`,
    );
    return 0;
  }
  if (flags.quiet) {
    terminal.data(`${files.map((f) => f.path).join('\n')}\n`);
    return 0;
  }
  const rows = traces
    .filter((t) => t.changes > 0)
    .map((t) => [t.pass, String(t.changes), String(t.nodesBefore), String(t.nodesAfter), docOf(t.pass, plugins)]);
  const nearly = leftAlone(traces, plugins);
  const lines = [
    ...(flags.explain && (rows.length || nearly.length)
      ? [...traces.filter((t) => t.changes > 0).flatMap((t) => explain(t, plugins)), ...nearly]
      : rows.length
        ? table([['pass', 'changes', 'nodes before', 'after', 'why'], ...rows], [1, 2, 3])
        : ['nothing to change']),
    '',
    `${nodes.before} → ${nodes.after} nodes (Constants not counted); ` +
      `${
        agreement.feeds
          ? `outputs in onnxruntime equal on ${agreement.feeds} random input${
              agreement.feeds === 1 ? '' : 's'
            }, largest relative difference ${agreement.error.toExponential(1)}`
          : 'outputs were not compared'
      }`,
    ...(opset.after === opset.before
      ? []
      : [
          `opset ${opset.before ?? 'none'} → ${opset.after ?? 'none'}, the least that these passes need; ` +
            `--skip raise-opset keeps ${opset.before ?? 'it'}`,
        ]),
    ...files.map((f) => `${oneLine(f.path)} (${bytesText(f.bytes)})`),
  ];
  terminal.data(`${lines.join('\n')}\n`);
  return 0;
}

const docOf = (pass: string, { passes }: Plugins): string => passes.find((p) => p.name === pass)?.doc ?? '';

/** Names of a list that are written out; --json has all. */
const NAMES = 3;

/** What one run of a pass changed, node by node. Constants are values rather than nodes, so their number is enough. */
function explain(t: PassTrace, plugins: Plugins): string[] {
  const constants = (texts: readonly string[], sign: string): string[] => {
    const count = texts.filter(isConstant).length;
    return [
      ...texts.filter((n) => !isConstant(n)).map((n) => `  ${sign} ${oneLine(n)}`),
      ...(count ? [`  ${sign} ${count} Constant${count === 1 ? '' : 's'}`] : []),
    ];
  };
  const head =
    `${t.pass}: ${t.changes} change${t.changes === 1 ? '' : 's'}, ${t.nodesBefore} → ${t.nodesAfter} nodes. ` +
    `${docOf(t.pass, plugins)}`;
  const pattern = patternOf(t);
  if (pattern === undefined) return [head, ...constants(t.removed, '−'), ...constants(t.added, '+')];
  const named = (t.added.some((n) => !isConstant(n)) ? t.added : t.removed).filter((n) => !isConstant(n));
  return [head, `  ${t.changes > 1 ? `${t.changes} × ` : ''}${pattern}`, ...named.map((n) => `    ${oneLine(n)}`)];
}

/** What each change did, such as `Conv + BatchNormalization → Conv`; undefined where the changes are not all alike. */
export function patternOf({
  changes,
  removed,
  added,
}: Pick<PassTrace, 'changes' | 'removed' | 'added'>): string | undefined {
  const each = (texts: readonly string[]): string[] | undefined => {
    const ops = new Map<string, number>();
    for (const text of texts)
      if (!isConstant(text)) {
        const op = oneLine(item(text.split(' ', 1), 0));
        ops.set(op, (ops.get(op) ?? 0) + 1);
      } // split gives one part at least
    if ([...ops.values()].some((n) => n % changes)) return undefined;
    return [...ops].flatMap(([op, n]) => new Array<string>(n / changes).fill(op));
  };
  const [from, to] = [each(removed), each(added)];
  return from?.length && to ? `${from.join(' + ')} → ${to.join(' + ') || 'nothing'}` : undefined;
}
const isConstant = (node: string): boolean => node === 'Constant' || node.startsWith('Constant ');

/** What nearly matched in the end, by pass; reasons that differ in names only are told once. */
function leftAlone(traces: readonly PassTrace[], plugins: Plugins): string[] {
  const lines: string[] = [];
  for (const t of traces) {
    const kinds = new Map<string, { reason: string; nodes: string[] }>();
    for (const { node, reason } of t.refusals) {
      const kind = reason.replace(/'[^']*'/g, "''");
      const found = kinds.get(kind) ?? { reason, nodes: [] };
      found.nodes.push(node);
      kinds.set(kind, found);
    }
    if (kinds.size) lines.push(`${t.pass}: ${docOf(t.pass, plugins)}`);
    for (const { reason, nodes } of kinds.values()) {
      const more = nodes.length - NAMES;
      lines.push(
        `  left alone: ${nodes.slice(0, NAMES).map(oneLine).join(', ')}${more > 0 ? ` and ${more} more` : ''}`,
        `    because ${oneLine(reason)}${nodes.length > 1 && reason.includes("'") ? ', and the others alike' : ''}`,
      );
    }
  }
  return lines.length ? ['', 'Nearly matched, in the graph as it is now:', ...lines] : [];
}
