/** Versions of models and their stages. */
export { differences, type Difference } from './diff.js';
export { checkName, parseReference, type Named, type Reference, type Stage, type Version } from './state.js';
export { openStore, type SourceFile, type Store, type Verified } from './store.js';
