import { dataOf } from '../ir/known.js';
import { z } from 'zod';
import type { Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { createRotation, matrixOf, turnAxis, type Rotation } from './rotation/matrix.js';
import { residualStreams, type Side, type Stream } from './rotation/streams.js';
import type { Adjustment } from './types.js';

const options = z.strictObject({
  online: z
    .boolean()
    .default(true)
    .describe(
      'Puts a product with the rotation where something writes to a residual stream, or reads it, that has no ' +
        'weights to hold it; never more of them than weights that do. false: such streams stay.',
    ),
  seed: z.number().int().min(0).default(0).describe('Seed of the rotation.'),
});

/**
 * Rotates the residual stream of transformers that normalise before their layers (GPT, ViT, Llama): what writes to it
 * gives x·Q, what reads it has QᵀW. A channel that is much wider than the others is then spread over all.
 * LayerNormalization, RMSNormalization and those with the sum before them commute with Q, which keeps the mean, once
 * their affine part is in the weights behind: scale 1, bias (β/γ)·Q, weights Qᵀ·diag(γ)·W. Exact but for rounding.
 * Streams in which a normalisation's result is added on (BERT) stay.
 * source: QuaRot, https://arxiv.org/abs/2404.00456; SpinQuant, https://arxiv.org/abs/2405.16406
 */
export const rotate = {
  name: 'rotate',
  doc:
    'Rotates the residual stream of pre-norm transformers, so that no channel is much wider than the others ' +
    '(Hadamard rotation). Needs no data; changes no result.',
  options,
  needsData: false,
  run({ model }, { online, seed }) {
    const b = new GraphBuilder(model);
    let [streams, weights, products] = [0, 0, 0];
    const left: string[] = [];
    const twins: string[] = [];
    for (const s of residualStreams(model)) {
      const more = s.entries.length + s.exits.length;
      const held = s.writes.length + s.reads.length + s.norms.reduce((n, x) => n + x.readers.length, 0);
      if (s.stuck !== undefined || (more > 0 && (!online || more > held))) {
        left.push(
          s.stuck === undefined
            ? `${more} of its ${more + held} ends have no weights of their own`
            : `more than weights of its own reads '${s.stuck}'`,
        );
        continue;
      }
      if (s.writes.some((w) => heads(s).some((r) => areTwins(w, r)))) twins.push(UNTIED);
      turnStream(b, s, createRotation(s.size, seed));
      streams++;
      weights += held;
      products += more;
    }
    const made =
      `${streams} residual stream${streams === 1 ? '' : 's'}, ${weights} constants ` +
      `rotated${products ? `, ${products} products inserted` : ''}`;
    const none = streams || left.length ? [] : ['no normalisation that weights alone read follows a sum of tensors'];
    return Promise.resolve([made, ...none, ...twins, ...left.map((why) => `1 left: ${why}`)].join(' · '));
  },
} satisfies Adjustment<z.output<typeof options>>;

const UNTIED = 'embedding and head no longer hold the same numbers, so that both are stored';
const heads = (s: Stream): Side[] => [...s.reads, ...s.norms.flatMap((n) => n.readers)];

/** Whether two matrices hold the same numbers at the same channels, whichever axis these have. */
function areTwins(a: Side, b: Side): boolean {
  const [x, y] = [dataOf(a.constant), dataOf(b.constant)];
  if (x.dims.length !== 2 || y.dims.length !== 2 || x.size !== y.size) return false;
  const [size, others] = [x.dims[a.axis]!, x.dims[1 - a.axis]!];
  if (y.dims[b.axis] !== size) return false;
  const [left, right] = [x.f32(), y.f32()];
  const at = (axis: number, c: number, o: number): number => (axis === 1 ? o * size + c : c * others + o);
  for (let o = 0; o < others; o++)
    for (let c = 0; c < size; c++) if (left[at(a.axis, c, o)] !== right[at(b.axis, c, o)]) return false;
  return true;
}

function turnStream(b: GraphBuilder, s: Stream, r: Rotation): void {
  const turn = ({ constant, axis }: Side, factor?: ArrayLike<number>): void => {
    const { dims } = dataOf(constant); // sides are constants
    constant.data = Tensor.f32(turnAxis(r, dataOf(constant).f32(), dims, axis, factor), dims);
  };
  for (const side of [...s.writes, ...s.reads]) turn(side);
  for (const { scale, bias, readers } of s.norms) {
    const gamma = dataOf(scale.node.inputs[scale.index]!).f64(); // residualStreams() checked it
    for (const side of readers) turn(side, gamma);
    const name = scale.node.name || scale.node.op;
    const beta = bias?.node.inputs[bias.index];
    if (bias && beta) {
      const divided = dataOf(beta)
        .f64()
        .map((x, i) => x / gamma[i]!);
      bias.node.setInput(bias.index, b.constant(Tensor.f32(turnAxis(r, divided, [s.size], 0)), `${name}_bias`));
    }
    scale.node.setInput(scale.index, b.constant(Tensor.f32(new Float32Array(s.size).fill(1)), `${name}_scale`));
  }
  const size = [s.size, s.size];
  for (const { value, nodes } of s.exits) {
    const back = b.op('MatMul', [value, b.constant(Tensor.f32(matrixOf(r, true), size), 'rotation_back')], {
      name: `${value.name}_rotate_back`,
    });
    for (const n of nodes)
      n.inputs.forEach((v, i) => {
        if (v === value) n.setInput(i, back);
      });
    if (value.isGraphOutput) keepName(b, value, back);
  }
  for (const { value, uses } of s.entries) {
    const turned = b.op('MatMul', [value, b.constant(Tensor.f32(matrixOf(r, false), size), 'rotation')], {
      name: `${value.name}_rotate`,
    });
    for (const u of uses) u.node.setInput(u.index, turned);
  }
}

/** The graph gives `to` in place of `from`, under its name. */
function keepName(b: GraphBuilder, from: Value, to: Value): void {
  const { name } = from;
  from.name = b.freeName(`${name}_rotated`);
  to.name = name;
  to.shape = from.shape;
  for (const g of [...from.outputOf.keys()])
    g.outputs.forEach((o, i) => {
      if (o === from) g.setOutput(i, to);
    });
}
