/** Markdown for GitHub's step summary: the verdict, then a row a rule. */
import type { GateFacts, RunRecord } from '../../record/index.js';
import { visible } from '../text.js';

/** GitHub refuses summaries above 1,024 KiB. */
const MOST_CHARACTERS = 200_000;
const WORDS = { pass: '✅ PASS', fail: '❌ FAIL', undecided: '⚠️ UNDECIDED' } as const;

export function renderStepSummary(record: RunRecord, gate: GateFacts): string {
  const rows = gate.rules.map((r) => `| ${WORDS[r.verdict]} | ${cell(r.name)} | ${cell(r.text)} |`);
  const text = `## ${WORDS[gate.verdict]} ${cell(record.recipe.name)}\n\n${cell(record.model.float.name)} against ${cell(gate.against)}, intervals at ${Number((100 * gate.confidence).toPrecision(6))} % confidence.\n\n| verdict | rule | measured |\n|---|---|---|\n${rows.join('\n')}\n`;
  return text.length <= MOST_CHARACTERS ? text : `${text.slice(0, text.lastIndexOf('\n', MOST_CHARACTERS))}\n\nCut here; run.json has the rest.\n`;
}

/** Names come from files: nothing of them may become markup. */
const cell = (text: string): string => visible(text, 2000).replace(/[\\|`*_[\]<>#!&@]/g, (c) => `&#${c.charCodeAt(0)};`);
