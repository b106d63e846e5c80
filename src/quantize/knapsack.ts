/** One choice for each layer, with the least loss that a budget allows: the multiple-choice knapsack problem. */

export interface Choice {
  readonly cost: number;
  readonly loss: number;
}
export const SOLVERS = ['greedy', 'integer'] as const;
export type Solver = (typeof SOLVERS)[number];

/** Partial solutions that are kept at most; with more, those in the same 1/200,000 of the budget are merged. */
const MOST_STATES = 200_000;
/** Sums of decimals that should be equal differ by less. */
const SLACK = 1e-9;

/**
 * For each layer the index of its choice, the sum of costs at most `budget`; undefined where even the cheapest cost
 * more. Ties go to the smaller cost, then to the earlier choice.
 */
export function solveChoices(
  layers: readonly (readonly Choice[])[],
  budget: number,
  solver: Solver,
): number[] | undefined {
  const greedy = solveGreedily(layers, budget);
  if (!greedy || solver === 'greedy') return greedy;
  return solveExactly(layers, budget, lossOf(layers, greedy)) ?? greedy;
}

const lossOf = (layers: readonly (readonly Choice[])[], chosen: readonly number[]): number =>
  chosen.reduce((n, c, i) => n + item(item(layers, i), c).loss, 0); // one for each layer
const cheaper = (a: Choice, b: Choice): number => a.cost - b.cost;

/**
 * From the best of each layer downwards, each time where the least loss is paid for the cost that is saved; then
 * upwards as far as there is room.
 */
function solveGreedily(layers: readonly (readonly Choice[])[], budget: number): number[] | undefined {
  const chosen = layers.map((l) => least(l, (a, b) => a.loss - b.loss || cheaper(a, b)));
  const at = (i: number): Choice => item(item(layers, i), chosen[i]!); // one for each layer
  const limit = budget * (1 + SLACK);
  let total = chosen.reduce((n, _, i) => n + at(i).cost, 0);
  const move = (i: number, to: number): void => {
    total += item(item(layers, i), to).cost - at(i).cost;
    chosen[i] = to;
  };
  while (total > limit) {
    let best: { i: number; to: number; price: number } | undefined;
    layers.forEach((l, i) =>
      l.forEach((c, to) => {
        const saved = at(i).cost - c.cost;
        if (!(saved > 0)) return;
        const price = (c.loss - at(i).loss) / saved;
        if (!best || price < best.price) best = { i, to, price };
      }),
    );
    if (!best) return undefined;
    move(best.i, best.to);
  }
  for (let more = true; more;) {
    let best: { i: number; to: number; gain: number } | undefined;
    layers.forEach((l, i) =>
      l.forEach((c, to) => {
        const gain = at(i).loss - c.loss;
        if (gain > 0 && total - at(i).cost + c.cost <= limit && (!best || gain > best.gain)) best = { i, to, gain };
      }),
    );
    more = best !== undefined;
    if (best) move(best.i, best.to);
  }
  return chosen;
}

interface State {
  readonly cost: number;
  readonly loss: number;
  readonly choice: number;
  readonly from: State | undefined;
}

/**
 * Dynamic programming over the partial solutions that no other beats in both cost and loss; those that can no longer
 * keep the budget, or no longer beat `known`, are dropped. source: Kellerer, Pferschy, Pisinger 2004, Knapsack
 * Problems, chapter 11.
 */
function solveExactly(layers: readonly (readonly Choice[])[], budget: number, known: number): number[] | undefined {
  const limit = budget * (1 + SLACK);
  const restCost = new Float64Array(layers.length + 1);
  const restLoss = new Float64Array(layers.length + 1);
  for (let i = layers.length - 1; i >= 0; i--) {
    restCost[i] = restCost[i + 1]! + Math.min(...item(layers, i).map((c) => c.cost)); // in range
    restLoss[i] = restLoss[i + 1]! + Math.min(...item(layers, i).map((c) => c.loss));
  }
  let states: State[] = [{ cost: 0, loss: 0, choice: -1, from: undefined }];
  for (const [i, choices] of layers.entries()) {
    const next = states
      .flatMap((from) =>
        choices.map((c, choice): State => ({ cost: from.cost + c.cost, loss: from.loss + c.loss, choice, from })),
      )
      // in range
      .filter((s) => s.cost + restCost[i + 1]! <= limit && s.loss + restLoss[i + 1]! <= known + SLACK * Math.abs(known))
      .sort((a, b) => a.cost - b.cost || a.loss - b.loss || a.choice - b.choice);
    states = [];
    // not empty
    for (const s of next) if (!states.length || s.loss < item(states, states.length - 1).loss) states.push(s);
    if (states.length > MOST_STATES) {
      // Of each bin the last has the least loss; its cost is exact, so the budget is kept.
      const bins = new Map(states.map((s) => [Math.floor((s.cost / limit) * MOST_STATES), s]));
      states = [...bins.values()];
    }
  }
  let end = states[states.length - 1];
  if (!end) return undefined;
  const chosen: number[] = [];
  for (; end.from; end = end.from) chosen.push(end.choice);
  return chosen.reverse();
}

function least(list: readonly Choice[], order: (a: Choice, b: Choice) => number): number {
  let best = 0;
  for (let i = 1; i < list.length; i++) if (order(item(list, i), item(list, best)) < 0) best = i; // in range
  return best;
}
import { item } from '../base/lists.js';
