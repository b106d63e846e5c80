// @ts-check
import { z } from 'quantbench';

const options = z.strictObject({
  power: z.number().positive().default(1).describe('Power of the standard deviation.'),
});

/**
 * Channels whose values are spread widely on calibration samples tell samples apart; constant ones are a bias.
 * @type {import('quantbench').ImportancePlugin<z.output<typeof options>>}
 */
const spread = {
  name: 'spread',
  doc: 'How far what layers read of a channel is spread on calibration samples.',
  needs: 'inputs',
  options,
  async score({ units, eachMap }, { power }) {
    const sums = units.map(() => ({ n: 0, sum: 0, squares: 0 }));
    await eachMap((unit, { data }) => {
      const at = sums[unit];
      if (!at) return;
      at.n += data.length;
      for (const v of data) {
        at.sum += v;
        at.squares += v * v;
      }
    });
    return sums.map(({ n, sum, squares }) => Math.max(0, squares / n - (sum / n) ** 2) ** (power / 2) || 0);
  },
};

export const importances = [spread];
