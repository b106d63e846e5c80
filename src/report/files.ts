import type { RunRecord } from '../record/index.js';
import { renderModelCard } from './ci/model-card.js';
import { renderHtml } from './html.js';
import { renderMarkdown } from './markdown.js';

/** What a run puts beside its model for people to read, by path in its output folder. */
export const renderFiles = (record: RunRecord): Readonly<Record<string, string>> => ({
  ...(record.layout
    ? { [`${record.layout.name}/README.md`]: renderModelCard(record, { facts: record.layout, records: [record] }) }
    : {}),
  'report.md': renderMarkdown(record),
  'report.html': renderHtml(record),
});
