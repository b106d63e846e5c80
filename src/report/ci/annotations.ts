/** GitHub workflow commands that annotate the run: an error a failed rule, a warning an undecided one. Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions. */
import type { GateFacts, RunRecord } from '../../record/index.js';

export function renderAnnotations(record: RunRecord, gate: GateFacts): string {
  const file = record.recipe.file === undefined ? '' : `file=${property(record.recipe.file)},`;
  return gate.rules.filter((r) => r.verdict !== 'pass').map((r) => `::${r.verdict === 'fail' ? 'error' : 'warning'} ${file}title=${property(`${record.recipe.name}: ${r.name}`)}::${data(r.text)}\n`).join('');
}

const data = (text: string): string => text.replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
const property = (text: string): string => data(text).replace(/:/g, '%3A').replace(/,/g, '%2C');
