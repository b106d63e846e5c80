/** Every rendering of a record. */
export { renderAnnotations } from './ci/annotations.js';
export { renderJunit } from './ci/junit.js';
export { renderModelCard, type LaidOutRuns } from './ci/model-card.js';
export { renderStepSummary } from './ci/step-summary.js';
export { renderCompareHtml } from './compare/html.js';
export { renderCompareMarkdown } from './compare/markdown.js';
export { renderHtml } from './html.js';
export { renderMarkdown } from './markdown.js';
export { renderFiles } from './files.js';
