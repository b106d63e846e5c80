/** How operators multiply their weights. */
import type { Node } from '../ir/graph.js';
import type { LinearRule, LinearView } from './facets.js';

const dimsOf = (node: Node, i: number): readonly unknown[] | undefined =>
  node.inputs[i]?.data?.dims ?? node.inputs[i]?.shape;
const rankOf = (node: Node, i: number): number | undefined => dimsOf(node, i)?.length;
/** Of one matrix, taken as it is. */
const ONE = { batchAxes: 0, groups: 1, alpha: 1, beta: 1 } as const;
const unknown = { because: 'the shape of its weight is not known' } as const;

/** [outputs, inputs / groups, …kernel] */
export const convolution: LinearRule = (node) =>
  (rankOf(node, 1) ?? 0) < 2
    ? unknown
    : [
        {
          ...ONE,
          kind: 'window',
          data: 0,
          weight: 1,
          bias: 2,
          dataAxis: 1,
          resultAxis: 1,
          outputAxis: 0,
          inputAxis: 1,
          scaleAxis: 0,
          blockAxis: 1,
          groups: node.int('group', 1),
        },
      ];

/** [inputs, outputs / groups, …kernel] */
export const transposedConvolution: LinearRule = (node) =>
  (rankOf(node, 1) ?? 0) < 2
    ? unknown
    : [
        {
          ...ONE,
          kind: 'transposed',
          data: 0,
          weight: 1,
          bias: 2,
          dataAxis: 1,
          resultAxis: 1,
          outputAxis: 1,
          inputAxis: 0,
          scaleAxis: 1,
          blockAxis: 0,
          groups: node.int('group', 1),
        },
      ];

/** A · B with B [K, N] or, transposed, [N, K]. */
export const generalProduct: LinearRule = (node) => {
  if (rankOf(node, 1) !== 2) return unknown;
  const turned = node.int('transB', 0) !== 0;
  const [outputAxis, inputAxis] = turned ? [0, 1] : [1, 0];
  return [
    {
      ...ONE,
      kind: 'product',
      data: 0,
      weight: 1,
      bias: 2,
      dataAxis: node.int('transA', 0) ? -2 : -1,
      resultAxis: -1,
      outputAxis,
      inputAxis,
      scaleAxis: outputAxis,
      blockAxis: inputAxis,
      alpha: node.float('alpha', 1),
      beta: node.float('beta', 1),
    },
  ];
};

/** Two tensors, of which the weight is the constant one: [batch…, K, N] on the right, [batch…, M, K] on the left. */
export const matrixProduct: LinearRule = (node) => {
  const left = node.inputs[0]?.isInitializer === true && node.inputs[1]?.isInitializer !== true;
  const weight = left ? 0 : 1;
  const rank = rankOf(node, weight);
  if (rank === undefined) return unknown;
  if (rank < 2) return { because: 'a vector weight has no channel axis' };
  const [outputAxis, inputAxis] = left ? [rank - 2, rank - 1] : [rank - 1, rank - 2];
  return [
    {
      ...ONE,
      kind: 'product',
      data: 1 - weight,
      weight,
      dataAxis: left ? -2 : -1,
      resultAxis: left ? -2 : -1,
      outputAxis,
      inputAxis,
      scaleAxis: outputAxis,
      blockAxis: inputAxis,
      batchAxes: rank - 2,
    },
  ];
};

/** Rows of a table of two or more axes, chosen along axis 0. */
export const lookup: LinearRule = (node) => {
  const rank = rankOf(node, 0);
  if (rank === undefined) return unknown;
  if (rank < 2 || node.int('axis', 0) !== 0) return { because: 'it looks up no rows of a table' };
  return [
    {
      ...ONE,
      kind: 'lookup',
      data: 1,
      weight: 0,
      dataAxis: -1,
      resultAxis: -1,
      outputAxis: rank - 1,
      inputAxis: 0,
      scaleAxis: 0,
      blockAxis: rank - 1,
    },
  ];
};

/** Of inputs [directions, gates · hidden, inputs] and of the state before [directions, gates · hidden, hidden]. */
export const recurrentCell: LinearRule = (node) =>
  [1, 2].flatMap((weight): LinearView[] =>
    rankOf(node, weight) !== 3
      ? []
      : [
          {
            ...ONE,
            kind: 'cell',
            data: weight === 1 ? 0 : 5,
            weight,
            bias: 3,
            dataAxis: -1,
            resultAxis: -1,
            outputAxis: 1,
            inputAxis: 2,
            scaleAxis: 1,
            blockAxis: 2,
            batchAxes: 1,
          },
        ],
  );

/** Two terms of which one is constant, with one letter to sum over and one that only the constant brings. */
export const einsumProduct: LinearRule = (node) => {
  const [terms = '', result] = node.string('equation', '').replace(/\s/g, '').split('->');
  const parts = terms.split(',');
  const constant = node.inputs.map((v) => v?.isInitializer === true);
  if (parts.length !== 2 || result === undefined || /\./.test(terms) || constant[0] === constant[1])
    return { because: 'it is no product of a tensor and a constant matrix' };
  const weight = constant[0] ? 0 : 1;
  const [w = '', x = ''] = [parts[weight], parts[1 - weight]];
  const summed = [...w].filter((c) => x.includes(c) && !result.includes(c));
  const made = [...w].filter((c) => !x.includes(c) && result.includes(c));
  const repeats = [w, x, result].some((t) => new Set(t).size !== t.length);
  if (w.length !== 2 || summed.length !== 1 || made.length !== 1 || repeats)
    return { because: 'it is no product of a tensor and a constant matrix' };
  const [i, o] = [summed.join(''), made.join('')];
  return [
    {
      ...ONE,
      kind: 'product',
      data: 1 - weight,
      weight,
      dataAxis: x.indexOf(i) - x.length,
      resultAxis: result.indexOf(o) - result.length,
      outputAxis: w.indexOf(o),
      inputAxis: w.indexOf(i),
      scaleAxis: w.indexOf(o),
      blockAxis: w.indexOf(i),
    },
  ];
};

/** γ, a factor for each channel of what is normalised, and β: of axis 1, or of the last axis. */
export const affine =
  (resultAxis: 1 | -1): LinearRule =>
  (node) => {
    if (rankOf(node, 1) !== 1) return { because: 'its factors are no vector' };
    const axis = node.int('axis', -1);
    const rank = rankOf(node, 0);
    // Only where one axis is normalised, which must be the last, are factors those of channels.
    if (resultAxis === -1 && axis !== -1 && (rank === undefined || axis !== rank - 1))
      return { because: 'it normalises several axes' };
    return [
      {
        ...ONE,
        kind: 'scale',
        data: 0,
        weight: 1,
        bias: 2,
        dataAxis: resultAxis,
        resultAxis,
        outputAxis: 0,
        inputAxis: 0,
        scaleAxis: 0,
        blockAxis: 0,
      },
    ];
  };
