/** Verdicts on runs. */
export { gates } from './gates/index.js';
export { asksOf, exitCodeOfVerdict, judgeRun } from './judge.js';
export { gateSpec, type GateSettings } from './settings.js';
export type { Gate } from './types.js';
