/**
 * A model whose accuracy depends on the CPU, in words: one text for the page, for Markdown and for the model card.
 * Plain text.
 */
import { item } from '../base/lists.js';
import type { RunRecord } from '../record/index.js';
import { fixed, isNumber, many, percent, visible } from './text.js';

/** Undefined where nothing can saturate on the CPUs that the target has. */
export function saturationSentence({ runtime }: RunRecord): string | undefined {
  const s = runtime?.saturation;
  const layers = s && !s.promised && s.risk !== 'none' ? s.layers.filter((l) => l.worst > 1) : [];
  if (!s || !layers.length) return undefined;
  const all = s.products ? `${layers.length} of ${many(s.products, 'integer layer')}` : many(layers.length, 'layer');
  const where =
    s.risk === 'here'
      ? 'This CPU adds pairs of products in 16 bits, as x64 CPUs without VNNI do'
      : 'x64 CPUs without VNNI add pairs of products in 16 bits';
  const worst = item(
    [...layers].sort((a, b) => b.worst - a.worst),
    0,
  ); // there is one
  const moved = [...layers]
    .filter((l) => isNumber(l.difference))
    .sort((a, b) => (b.difference ?? 0) - (a.difference ?? 0))[0];
  const seen = moved
    ? `; results of ${visible(moved.node, 80)} move by ${percent(moved.difference, 1)} on one sample`
    : '';
  return (
    `The accuracy depends on the CPU. ${where}, and ${all} can exceed them (${visible(worst.node, 80)}: ` +
    `${fixed(worst.worst, 2)} × what fits)${seen}. quantize.weights.saturation: safe avoids it.`
  );
}
