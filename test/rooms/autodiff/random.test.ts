/** Gradients of 200 random small graphs, in which values are used several times, against differences. */
import { expect, it } from 'vitest';
import { createRng, type Rng } from '../../../src/base/rng.js';
import { TOLERANCE, worstError } from './check.js';

const GRAPHS = 200;
const oneOf = <T>(rng: Rng, list: readonly T[]): T => list[rng.int(list.length)]!; // lists here are not empty

interface Tensor {
  readonly name: string;
  readonly dims: readonly number[];
}
/** Smooth functions, all with float64 kernels: differences say nothing beside a jump. */
const UNARY = ['Sigmoid', 'Tanh', 'Sin', 'Cos', 'Identity', 'Neg'];
const BINARY = ['Add', 'Sub', 'Mul', 'Sum'];

/** Text of a graph that grows by a random operator on random tensors at a time. */
function randomGraph(rng: Rng): string {
  const inputs: Tensor[] = [
    { name: 'x0', dims: [3, 4] },
    { name: 'x1', dims: [4] },
    { name: 'x2', dims: oneOf(rng, [[3, 1], [2, 3, 4], [4, 3], []]) },
  ];
  const pool = [...inputs];
  const lines: string[] = [];
  const constants: string[] = [];
  const put = (dims: readonly number[], text: string): void => {
    const name = `v${lines.length}`;
    lines.push(`${name} = ${text}`);
    pool.push({ name, dims });
  };
  const ints = (values: readonly number[]): string => {
    constants.push(`int64[${values.length}] c${constants.length} = {${values.join()}}`);
    return `c${constants.length - 1}`;
  };
  while (lines.length < 8) {
    const a = oneOf(rng, pool);
    const b = oneOf(rng, pool);
    const axis = a.dims.length ? rng.int(a.dims.length) : 0;
    const size = a.dims[axis] ?? 1;
    switch (rng.int(9)) {
      case 0:
        put(a.dims, `${oneOf(rng, UNARY)} (${a.name})`);
        break;
      case 1: {
        const dims = broadcast(a.dims, b.dims);
        if (dims) put(dims, `${oneOf(rng, BINARY)} (${a.name}, ${b.name})`);
        break;
      }
      case 2:
        if (a.dims.length) put(a.dims, `Softmax <axis = ${axis}> (${a.name})`);
        break;
      case 3:
        if (!a.dims.length) break;
        put(
          a.dims.map((n, i) => (i === axis ? 1 : n)),
          `${oneOf(rng, ['ReduceMean', 'ReduceSum', 'ReduceLogSumExp'])} (${a.name}, ${ints([axis])})`,
        );
        break;
      case 4:
        if (a.dims.length > 1) put([...a.dims].reverse(), `Transpose (${a.name})`);
        break;
      case 5:
        if (size > 1)
          put(
            a.dims.map((n, i) => (i === axis ? Math.ceil(size / 2) : n)),
            `Slice (${a.name}, ${ints([size - 1])}, ${ints([-100])}, ${ints([axis])}, ${ints([-2])})`,
          );
        break;
      case 6:
        if (a.dims.length && size < 8)
          put(
            a.dims.map((n, i) => (i === axis ? 2 * n : n)),
            `Concat <axis = ${axis}> (${a.name}, ${a.name})`,
          );
        break;
      case 7:
        if (a.dims.length === 2 && b.dims.length === 2 && a.dims[1] === b.dims[0])
          put([a.dims[0]!, b.dims[1]!], `MatMul (${a.name}, ${b.name})`);
        break;
      case 8:
        if (a.dims.length)
          put(
            [...a.dims.slice(0, axis), 3, ...a.dims.slice(axis + 1)],
            `Gather <axis = ${axis}> (${a.name}, ${ints([0, size - 1, 0])})`,
          );
        break;
    }
  }
  // Everything that was made is joined, so that all of it counts.
  const all = pool.slice(inputs.length).map((t, i) => `s${i} = ReduceSum <keepdims = 0> (${t.name})`);
  const inputsUsed = inputs.map((t) => `real${t.dims.length ? `[${t.dims.join()}]` : ''} ${t.name}`).join(', ');
  const ends = inputs.map((t, i) => `e${i} = ReduceSum <keepdims = 0> (${t.name})`);
  const sum = `y = Sum (${[...all.keys()].map((i) => `s${i}`).join()}, ${ends.map((_, i) => `e${i}`).join()})`;
  const weights = constants.length ? `<${constants.join(', ')}>` : '';
  return `(${inputsUsed}) => (real y) ${weights} { ${[...lines, ...all, ...ends, sum].join('\n')} }`;
}
function broadcast(a: readonly number[], b: readonly number[]): number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const [x, y] = [a, b].map((d) => [...Array<number>(rank - d.length).fill(1), ...d]) as [number[], number[]]; // two
  const dims = x.map((n, i) => Math.max(n, y[i]!));
  return dims.every((n, i) => (x[i] === n || x[i] === 1) && (y[i] === n || y[i] === 1)) ? dims : undefined;
}

it(`${GRAPHS} random graphs`, async () => {
  const wrong: string[] = [];
  for (let seed = 0; seed < GRAPHS; seed++) {
    const graph = randomGraph(createRng(seed, 'gradients'));
    const error = await worstError({ graph, within: [-0.7, 0.7], optimization: 'disabled' }, seed);
    if (!(error < TOLERANCE.double)) wrong.push(`${seed}: ${error} ${graph}`);
  }
  expect(wrong).toEqual([]);
});
