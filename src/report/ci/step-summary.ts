/** The verdict and the results as Markdown for the file that $GITHUB_STEP_SUMMARY names. */
import type { GateFacts, RunRecord } from '../../record/index.js';
import { accuracy, gate as gateTable, saturation, sensitivity } from '../markdown/findings.js';
import { code, section, table, text } from '../markdown/parts.js';
import { story } from '../story.js';
import { gateSentence, measured, summaryTable, VERDICTS } from '../summary.js';

/**
 * GitHub refuses summaries of steps above 1 MiB:
 * https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary
 */
const MOST_BYTES = 1024 * 1024;
const CUT = '\n\n… cut off here: GitHub takes 1 MiB. report.md has all.\n';

/** At most 1 MiB of UTF-8, cut at the end of a line, with a note, where there is more. */
export function renderStepSummary(record: RunRecord, gate: GateFacts): string {
  const { word, mark } = VERDICTS[gate.verdict];
  const judged = { ...record, gate };
  return cut(
    `${[
      `## ${mark} ${word}: ${text(record.recipe.name)}`,
      `**${text(gateSentence(gate))}.** ${text(measured(record).text)}`,
      gateTable(judged),
      table(
        ['', 'float', 'quantized', 'change', ''],
        summaryTable(record).map((r) => [
          text(r.metric),
          text(r.float),
          text(r.quantized),
          text(r.change),
          text(r.note),
        ]),
      ),
      story(record).map(text).join(' '),
      section('Accuracy', accuracy(record)),
      section('Sensitivity', sensitivity(record)),
      saturation(record),
      `${code(record.model.float.name)} · recipe ${code(record.recipe.file ?? record.recipe.name)} · ` +
        `onnxruntime ${text(record.environment.onnxruntime)} on ${text(record.environment.cpu)} · quantbench ` +
        `${text(record.quantbench)}`,
    ]
      .filter(Boolean)
      .join('\n\n')}\n`,
  );
}

/** What fits into `most` bytes, ending at a line, with a note where something is missing. */
export function cut(markdown: string, most = MOST_BYTES): string {
  const bytes = Buffer.from(markdown, 'utf8');
  if (bytes.length <= most) return markdown;
  // a line feed is never part of another character in UTF-8
  const end = bytes.lastIndexOf(10, most - Buffer.byteLength(CUT));
  return bytes.subarray(0, Math.max(0, end)).toString('utf8') + CUT;
}
