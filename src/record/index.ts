/** Every type of a record. */
export type * from './compare.js';
export type * from './evaluation.js';
export type * from './gate.js';
export type * from './generation.js';
export type * from './latency.js';
export type * from './layers.js';
export type * from './layout.js';
export type * from './low-rank.js';
export type * from './mixed.js';
export type * from './compression.js';
export type * from './parts.js';
export type * from './run.js';
export type * from './search.js';
export type * from './target.js';
export type * from './training.js';
export type * from './transport.js';
