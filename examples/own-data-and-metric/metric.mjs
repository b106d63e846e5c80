// @ts-check

/**
 * How far the score of the right class is above that of the best other one. What tells the interval is `scores`.
 * @type {import('quantbench').MetricModule<{ least?: number }>}
 */
export const metric = {
  name: 'margin',
  unit: 'logits',
  higherIsBetter: true,
  needsLabels: true,
  doc: 'Mean of the right score less the best other one, at least `least` for each sample.',
  start({ least = -Infinity }, outputs) {
    const output = outputs[0]?.name ?? '';
    /** @type {number[]} */
    const scores = [];
    return {
      scores,
      add({ label }, [feed]) {
        const data = feed?.[output]?.data;
        if (label === undefined || !(data instanceof Float32Array)) return;
        const others = data.filter((_, i) => i !== label);
        scores.push(Math.max(least, (data[label] ?? NaN) - Math.max(...others)));
      },
      value: () => (scores.length ? scores.reduce((a, b) => a + b, 0) / scores.length : undefined),
    };
  },
};
