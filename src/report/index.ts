/** Every rendering of a record. */
export { renderCompareHtml } from './compare/html.js';
export { renderCompareMarkdown } from './compare/markdown.js';
export { renderHtml } from './html.js';
export { renderMarkdown } from './markdown.js';
