/** What a student may learn of its teacher beside the results: tensors in between, and where they are large. */
import type { LossTerm } from '../autodiff/add-loss.js';
import { fail } from '../base/errors.js';
import { createRng } from '../base/rng.js';
import type { Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { ofTeacher } from './teacher.js';

export interface Pair {
  readonly student: string;
  readonly teacher: string;
}
export interface HintSettings {
  /** Pairs of tensors that shall be alike. */
  readonly features?: {
    readonly pairs: 'auto' | readonly Pair[];
    readonly loss: 'mse' | 'cosine';
    readonly weight: number;
  };
  /** Pairs of feature maps that shall be large at the same places. */
  readonly attention?: { readonly pairs: 'auto' | readonly Pair[]; readonly weight: number };
  readonly seed: number;
}

/**
 * Adds what hints compare to the graph of student and teacher, and gives the terms of the loss. Where channels differ,
 * a 1 × 1 convolution, or a matrix, takes the student's to the teacher's; it is learned with the student and left away
 * afterwards.
 *
 * Throws GRADIENT_UNKNOWN_NAME for a tensor that does not exist, DATA_SHAPE for a pair that cannot be compared.
 */
export function addHints(model: Model, s: HintSettings): { terms: LossTerm[]; parameters: string[] } {
  const b = new GraphBuilder(model);
  const values = new Map([...model.graph.nodes].flatMap((n) => n.outputs.map((v) => [v.name, v])));
  const found = (name: string): Value =>
    values.get(name) ?? fail('GRADIENT_UNKNOWN_NAME', `'${name}' is no tensor of the model`, { tensor: name });
  const pairsOf = (pairs: 'auto' | readonly Pair[]): [Value, Value][] =>
    pairs === 'auto' ? matched(model) : pairs.map((p) => [found(p.student), found(ofTeacher(p.teacher))]);
  const parameters: string[] = [];
  const terms: LossTerm[] = [];
  if (s.features) {
    const { pairs, loss, weight } = s.features;
    const all = pairsOf(pairs);
    for (const [x, t] of all) {
      const like = adapted(b, x, t, s.seed, parameters);
      const options = loss === 'cosine' ? { axis: channelAxis(t) } : {};
      terms.push({ loss, of: like.name, target: t.name, weight: weight / all.length, options });
    }
  }
  if (s.attention) {
    const { pairs, weight } = s.attention;
    const all = pairsOf(pairs);
    for (const [x, t] of all) {
      samePlaces(x, t);
      const [own, other] = [attention(b, x), attention(b, t)];
      terms.push({ loss: 'mse', of: own.name, target: other.name, weight: weight / all.length });
    }
  }
  return { terms, parameters };
}

/** Of images [N, C, H, W] axis 1, of sequences and vectors the last. */
const channelAxis = (v: Value): number => ((v.shape?.length ?? 0) >= 4 ? 1 : -1);
const sizeOf = (v: Value, axis: number): number => {
  const d = v.shape?.at(axis);
  return typeof d === 'number'
    ? d
    : fail('DATA_SHAPE', `the channels of '${v.name}' are not known: [${v.shape?.join(', ') ?? ''}]`, {
        tensor: v.name,
      });
};
/** Sizes but those of samples and of channels. */
const placesOf = (v: Value): string =>
  (v.shape ?? []).filter((_, i) => i > 0 && i !== (channelAxis(v) === 1 ? 1 : (v.shape?.length ?? 0) - 1)).join(' × ');
function samePlaces(x: Value, t: Value): void {
  if (x.shape?.length !== t.shape?.length || placesOf(x) !== placesOf(t))
    fail(
      'DATA_SHAPE',
      `'${x.name}' [${x.shape?.join(', ') ?? '?'}] and '${t.name}' [${t.shape?.join(', ') ?? '?'}] differ in more than ` +
        'channels',
      { tensor: x.name },
      'name pairs of the same height and width',
    );
}

function adapted(b: GraphBuilder, x: Value, t: Value, seed: number, parameters: string[]): Value {
  samePlaces(x, t);
  const axis = channelAxis(x);
  const [from, to] = [sizeOf(x, axis), sizeOf(t, axis)];
  if (from === to) return x;
  const rng = createRng(seed, `adapter ${x.name}`);
  const draw = Float32Array.from({ length: from * to }, () => rng.normal() / Math.sqrt(from));
  const kernel = (x.shape ?? []).slice(2).map(() => 1);
  const dims = axis === 1 ? [to, from, ...kernel] : [from, to];
  const weight = b.constant(Tensor.f32(draw, dims), `adapter of ${x.name}`);
  parameters.push(weight.name);
  const options = { name: `adapted ${x.name}` };
  if (axis === 1) return b.op('Conv', [x, weight], options);
  return b.op('MatMul', [x, weight], options);
}

/** Σ over channels of squares at each place, as a vector of length 1. source: https://arxiv.org/abs/1612.03928 */
function attention(b: GraphBuilder, v: Value): Value {
  const name = `attention of ${v.name}`;
  const squares = b.op('Mul', [v, v], { name });
  const map = b.overAxes('ReduceMean', squares, [channelAxis(v) === 1 ? 1 : -1], { attrs: { keepdims: 0 }, name });
  const flat = b.op('Flatten', [map], { attrs: { axis: 1 }, name });
  const energy = b.overAxes('ReduceSum', b.op('Mul', [flat, flat], { name }), [1], { attrs: { keepdims: 1 }, name });
  const least = b.constant(1e-12, name);
  return b.op('Div', [flat, b.op('Sqrt', [b.op('Add', [energy, least], { name })], { name })], { name });
}

/** Of each size of feature maps that both have, the last: the ends of the stages. */
function matched(model: Model): [Value, Value][] {
  const ends = (of: (name: string) => boolean): Map<string, Value> => {
    const last = new Map<string, Value>();
    for (const n of model.graph.topological()) {
      const [y] = n.outputs;
      if (!y || !of(y.name) || y.dtype !== 'float32' || (y.shape?.length ?? 0) < 3) continue;
      if (
        !y.shape?.slice(1).every((d) => typeof d === 'number') ||
        placesOf(y)
          .split(' × ')
          .every((d) => d === '1')
      )
        continue;
      last.set(`${y.shape.length}: ${placesOf(y)}`, y);
    }
    return last;
  };
  const prefix = ofTeacher('');
  const [own, other] = [ends((n) => !n.startsWith(prefix)), ends((n) => n.startsWith(prefix))];
  const pairs = [...own].flatMap(([size, x]): [Value, Value][] => {
    const t = other.get(size);
    return t ? [[x, t]] : [];
  });
  if (!pairs.length)
    fail(
      'DATA_SHAPE',
      'student and teacher have no feature maps of the same size',
      {},
      'name the pairs, or leave hints out',
    );
  return pairs;
}
