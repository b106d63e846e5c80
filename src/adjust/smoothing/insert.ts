/** A division of channels by a node of its own, where no weight before can take it. */
import { item } from '../../base/lists.js';
import { Node } from '../../ir/graph.js';
import type { GraphBuilder } from '../../rewrite/builder.js';
import type { Weights } from '../../channels/scaling.js';
import { inverse } from './search.js';
import type { SmoothUnit } from './units.js';

/** The layers of the unit's only input read it divided by the factors. */
export function insertMul(
  b: GraphBuilder,
  { inputs }: SmoothUnit,
  factors: Float64Array,
  weights: Weights,
  what = 'smooth',
): void {
  const input = item(inputs, 0); // a unit without sets has one input
  const { value, layers } = input;
  const node = new Node(
    'Mul',
    [value, b.constant(inverse(input, factors), `${value.name}_${what}`)],
    [b.freeName(`${value.name}_${what}_scaled`)],
  );
  node.name = b.freeName(`${value.name}_${what}`);
  b.graph.add(node);
  const [scaled] = node.outputs;
  scaled!.dtype = value.dtype; // made with one output
  scaled!.shape = value.shape;
  for (const n of layers) n.setInput(0, scaled!);
  input.slabs.forEach((slabs, c) => {
    for (const s of slabs) weights.scale(s, factors[input.factor[c]!]!);
  }); // one factor for each channel
}
