/** `quantize targets`: the runtimes that models can be written for. */
import { loadPlugins } from '../../recipe/plugins.js';
import type { Target } from '../../targets/types.js';
import type { CommandContext } from '../context.js';
import { factsOf } from '../docs-targets.js';
import { findTarget } from '../find-target.js';
import { table } from '../layout.js';

export interface TargetsFlags {
  readonly plugin?: readonly string[];
  readonly json?: true;
}

/** Throws USAGE for a name that is none, RECIPE_PLUGIN; gives exit code 0. */
export async function targets(
  name: string | undefined,
  flags: TargetsFlags,
  { terminal }: CommandContext,
): Promise<number> {
  const { targets: all } = await loadPlugins(flags.plugin ?? []);
  if (name === undefined) {
    const rows = all.map((t) => [t.name, t.hardware, givenTo(t), ranHere(t), t.doc]);
    const lines = table([['runtime', 'hardware', 'is given', 'measured', ''], ...rows], [], {
      columns: terminal.dataColumns,
      drop: [2, 3],
    });
    terminal.data(flags.json ? `${JSON.stringify(all.map(jsonOf), null, 1)}\n` : `${lines.join('\n')}\n`);
    return 0;
  }
  const found = all.find((t) => t.aliases?.includes(name)) ?? findTarget(name, all);
  terminal.data(flags.json ? `${JSON.stringify(jsonOf(found), null, 1)}\n` : textOf(found, terminal.dataColumns));
  return 0;
}

const givenTo = (t: Target): string => (t.artefact === 'onnx' ? 'ONNX' : 'files of its own');
const ranHere = (t: Target): string => (t.host === 'here' ? 'here' : 'simulated');

/** All of it that is data. */
const jsonOf = ({ emitter, ...profile }: Target): object => ({
  ...profile,
  ...(emitter ? { convert: emitter.precisions } : {}),
});

function textOf(t: Target, columns: number): string {
  const plain = (fact: string): string => fact.replaceAll('`', '').replace(/\[([^\]]*)\]\(([^)]*)\)/g, '$1 ($2)');
  const rows = factsOf(t).map(([what, fact]) => [what, plain(fact)]);
  const quirks = t.quirks.flatMap((q) => ['', `${q.code}: ${q.text}`, `  ${q.source}`]);
  const usage = (t.usage ?? []).flatMap((u) => ['', `${u.language}:`, ...u.code.map((line) => `  ${line}`)]);
  return `${[t.name, t.doc, t.source, '', ...table(rows, [], { columns, indent: 2 }), ...quirks, ...usage].join('\n')}\n`;
}
