/** README.md of a folder for a runtime: how a program loads what is in it, and what stays float there. */
import { groupBy } from '../../base/group.js';
import type { StaysFloat, Target } from '../types.js';

export interface ReadmeFacts {
  readonly target: Pick<Target, 'name' | 'doc' | 'hardware' | 'usage'>;
  /** Name of the model. */
  readonly model: string;
  /** What is loaded, relative to the folder. */
  readonly artefact: string;
  readonly floats: readonly StaysFloat[];
  readonly note?: string | undefined;
}
const MOST = 5;

export function readmeOf({ target, model, artefact, floats, note }: ReadmeFacts): string {
  const usage = (target.usage ?? []).flatMap(({ language, code }) => [
    `\`\`\`${language.toLowerCase()}`,
    ...code.map((line) => line.replaceAll('{model}', artefact)),
    '```',
  ]);
  const kinds = groupBy(floats, ({ op, because }) => `${op}: ${because}`);
  const told = [...kinds]
    .slice(0, MOST)
    .map(([why, nodes]) => `- ${nodes.length} × ${plain(why)} (${plain(nodes[0]?.node ?? '')})`);
  const more = kinds.size > MOST ? [`- and ${kinds.size - MOST} more kinds, in run.json`] : [];
  return [
    `# ${plain(model)} for ${target.name}`,
    `${target.doc} Runs on ${target.hardware}. Load \`${artefact}\`:`,
    ...usage,
    ...(note === undefined ? [] : [note]),
    ...(floats.length ? ['Float there:', ...told, ...more] : ['Nothing stays float.']),
    '',
  ].join('\n');
}

/** Names come from models: nothing in them is markup. */
const plain = (text: string): string =>
  text.replace(/[\p{C}`*_<>[\]\\|#]/gu, (c) => (/\p{C}/u.test(c) ? ' ' : `\\${c}`));
