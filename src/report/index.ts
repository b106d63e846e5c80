/** Every rendering of a run record. */
export { renderHtml } from './html.js';
export { renderMarkdown } from './markdown.js';
