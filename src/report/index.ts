/** Every rendering of a run record. */
export { renderAnnotations } from './ci/annotations.js';
export { renderJunit } from './ci/junit.js';
export { renderStepSummary } from './ci/step-summary.js';
export { renderHtml } from './html.js';
export { renderMarkdown } from './markdown.js';
