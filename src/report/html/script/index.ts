/**
 * The script of report.html, as text: its hash goes into the page's policy. It moves, hides and draws; nothing from the
 * page or its data ever becomes markup, only text. Without it the page shows the same, unsorted and without histograms.
 */
import { details } from './details.js';
import { graph } from './graph.js';
import { sorting } from './sorting.js';

export const script = `'use strict';\n${sorting}${details}${graph}`;
/** For pages with tables alone. */
export const tableScript = `'use strict';\n${sorting}`;
