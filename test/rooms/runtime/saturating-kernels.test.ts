/**
 * What onnxruntime's uint8 × int8 kernels compute, against references that saturate or do not. Which of them holds
 * depends on the CPU.
 */
import { describe, expect, it } from 'vitest';
import { createRng, type Rng } from '../../../src/base/rng.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { packedOrder, packingOf, rowStarts } from '../../../src/ops/packing.js';
import { environment, u8s8Saturates } from '../../../src/runtime/environment.js';
import { openModel } from '../../../src/runtime/open.js';
import { matMulInteger } from '../../../src/scheme/reference/matmul.js';
import { convInteger, qLinearConv } from '../../../src/scheme/reference/conv.js';
import { saturatingMatMulInteger, saturatingQLinearConv } from '../../../src/scheme/reference/saturating.js';
import { pairSaturates } from '../../../src/scheme/saturation.js';

const saturates = u8s8Saturates(environment());
const HEADER = '<ir_version: 8, opset_import: ["" : 13]>\n';

const codes = (rng: Rng, n: number, low: number, high: number): number[] =>
  Array.from({ length: n }, () => low + rng.int(high - low + 1));
const list = (values: ArrayLike<number>): string => Array.from(values).join(', ');

async function run(text: string, x: Tensor): Promise<number[]> {
  const session = await openModel(parseModel(HEADER + text), { label: 'a layer' });
  try {
    const { y } = await session.run({ x: { dtype: 'uint8', dims: x.dims, data: Uint8Array.from(x.f64()) } });
    return Array.from(y!.data as Iterable<number>, Number);
  } finally {
    await session.close();
  }
}
const u8 = (values: readonly number[], dims: readonly number[]): Tensor =>
  Tensor.codes('uint8', Int32Array.from(values), dims);
const s8 = (values: readonly number[], dims: readonly number[]): Tensor =>
  Tensor.codes('int8', Int32Array.from(values), dims);

/** Inputs and weights at the ends of their ranges, or anywhere. */
const KINDS = ['random', 'worst'] as const;
type Kind = (typeof KINDS)[number];
const inputs = (rng: Rng, n: number, kind: Kind): number[] =>
  kind === 'worst' ? Array.from({ length: n }, () => 255) : codes(rng, n, 60, 255);
const weights = (rng: Rng, n: number, kind: Kind): number[] =>
  kind === 'worst' ? Array.from({ length: n }, () => (rng.int(2) ? 127 : -128)) : codes(rng, n, -128, 127);

const MATRICES = [
  [1, 16, 8],
  [1, 17, 40],
  [5, 19, 33],
  [7, 130, 48],
  [1, 256, 100],
  [16, 64, 16],
] as const;
const CONVOLUTIONS = [
  { channels: 8, outputs: 16, kernel: 3, group: 1 },
  { channels: 3, outputs: 16, kernel: 3, group: 1 },
  { channels: 5, outputs: 7, kernel: 3, group: 1 },
  { channels: 6, outputs: 12, kernel: 3, group: 2 },
  { channels: 4, outputs: 8, kernel: 1, group: 1 },
  { channels: 1, outputs: 8, kernel: 3, group: 1 },
  { channels: 8, outputs: 16, kernel: 3, group: 8 },
  { channels: 8, outputs: 8, kernel: 3, group: 8 },
] as const;

const product = (m: number, k: number, n: number, w: readonly number[]): string =>
  `g (uint8[${m},${k}] x) => (int32[${m},${n}] y) <int8[${k},${n}] w = {${list(w)}}, uint8 xz = {7}, int8 wz = ` +
  '{-3}> { y = MatMulInteger(x, w, xz, wz) }';
const SIZE = 6;
function convolution(
  { channels, outputs, kernel, group }: (typeof CONVOLUTIONS)[number],
  w: readonly number[],
): { text: string; dims: number[]; params: (Tensor | undefined)[] } {
  const depth = channels / group;
  const text = `g (uint8[1,${channels},${SIZE},${SIZE}] x) => (uint8[1,${outputs},${SIZE},${SIZE}] y)
    <int8[${outputs},${depth},${kernel},${kernel}] w = {${list(
      w,
    )}}, float xs = {1.0}, uint8 xz = {9}, float ws = {0.001}, int8 wz = {0}, float ys = {8.0}, uint8 yz = {128}> {
      y = QLinearConv<group = ${group}, pads = [${Array(4)
        .fill((kernel - 1) / 2)
        .join(',')}]>(x, xs, xz, w, ws, wz, ys, yz)
    }`;
  return {
    text,
    dims: [outputs, depth, kernel, kernel],
    params: [
      Tensor.f32([1], []),
      u8([9], []),
      s8(w, [outputs, depth, kernel, kernel]),
      Tensor.f32([0.001], []),
      s8([0], []),
      Tensor.f32([8], []),
      u8([128], []),
    ],
  };
}

describe.skipIf(saturates === undefined)(
  `kernels on this CPU, which ${saturates ? 'adds two products in int16' : 'adds exactly'}`,
  () => {
    it.each(MATRICES.flatMap((shape) => KINDS.map((kind) => [shape, kind] as const)))(
      'MatMulInteger of %j, %s',
      async ([m, k, n], kind) => {
        const rng = createRng(m * 1000 + k, kind);
        const [x, w] = [u8(inputs(rng, m * k, kind), [m, k]), weights(rng, k * n, kind)];
        const reference = saturates ? saturatingMatMulInteger : matMulInteger;
        const [expected] = reference([x, s8(w, [k, n]), u8([7], []), s8([-3], [])], {});
        expect(await run(product(m, k, n, w), x)).toEqual([...expected!.f64()]);
      },
    );

    it.each(CONVOLUTIONS.flatMap((shape) => KINDS.map((kind) => [shape, kind] as const)))(
      'QLinearConv of %j, %s',
      async (shape, kind) => {
        const rng = createRng(shape.channels * 100 + shape.outputs, kind);
        const x = u8(inputs(rng, shape.channels * SIZE ** 2, kind), [1, shape.channels, SIZE, SIZE]);
        const w = weights(rng, (shape.outputs * shape.channels * shape.kernel ** 2) / shape.group, kind);
        const { text, params } = convolution(shape, w);
        const pad = (shape.kernel - 1) / 2;
        const reference = saturates ? saturatingQLinearConv : qLinearConv;
        const [expected] = reference([x, ...params], { group: shape.group, pads: [pad, pad, pad, pad] });
        expect(await run(text, x)).toEqual([...expected!.f64()]);
      },
    );

    it('ConvInteger takes its weights as the left operand, and is exact everywhere', async () => {
      const rng = createRng(3, 'conv');
      const [x, w] = [u8(inputs(rng, 8 * SIZE ** 2, 'worst'), [1, 8, SIZE, SIZE]), weights(rng, 8 * 8 * 9, 'worst')];
      const [expected] = convInteger([x, s8(w, [8, 8, 3, 3])], {});
      const text =
        `g (uint8[1,8,${SIZE},${SIZE}] x) => (int32[1,8,4,4] y) <int8[8,8,3,3] w = {${list(w)}}> { y = ` +
        'ConvInteger(x, w) }';
      expect(await run(text, x)).toEqual([...expected!.f64()]);
    });

    it('unsigned weights, and signed inputs, are exact everywhere', async () => {
      const rng = createRng(4, 'types');
      const [m, k, n] = [3, 32, 8];
      const x = u8(
        Array.from({ length: m * k }, () => 255),
        [m, k],
      );
      const unsigned = codes(rng, k * n, 200, 255);
      const [a] = matMulInteger([x, u8(unsigned, [k, n])], {});
      expect(
        await run(
          `g (uint8[${m},${k}] x) => (int32[${m},${n}] y) <uint8[${k},${n}] w = {${list(unsigned)}}> { y = ` +
            'MatMulInteger(x, w) }',
          x,
        ),
      ).toEqual([...a!.f64()]);
      const signed = weights(rng, k * n, 'worst');
      const text =
        `g (uint8[${m},${k}] x) => (int32[${m},${n}] y) <int8[${k},${n}] w = {${list(signed)}}, uint8 half = ` +
        '{128}> { f = Cast<to = 6>(x) z = Cast<to = 6>(half) d = Sub(f, z) i = Cast<to = 3>(d) y = ' +
        'MatMulInteger(i, w) }';
      const [b] = matMulInteger(
        [
          s8(
            Array.from({ length: m * k }, () => 127),
            [m, k],
          ),
          s8(signed, [k, n]),
        ],
        {},
      );
      expect(await run(text, x)).toEqual([...b!.f64()]);
    });
  },
);

describe('the references, on any CPU', () => {
  /** Whether some pair of neighbours of some row is beyond the limit. */
  const predicted = (text: string, dims: readonly number[], w: readonly number[]): boolean => {
    const node = [...parseModel(HEADER + text).graph.nodes][0]!;
    const packing = packingOf(node, 1, dims);
    if (!packing) return false;
    const order = packedOrder(packing);
    return [...rowStarts(packing)].some((start) =>
      order.some(
        (offset, i) =>
          i % 2 === 0 && i + 1 < order.length && pairSaturates(w[start + offset]!, w[start + order[i + 1]!]!),
      ),
    );
  };
  /** Weights of one sign in some pairs, so that about half the layers can saturate. */
  const mixed = (rng: Rng, n: number): number[] =>
    codes(rng, n, -64, 64).map((q) => (rng.int(20) === 0 ? (q * 1.5) | 0 : q));

  it.each(Array.from({ length: 40 }, (_, seed) => seed))(
    'a convolution differs from the exact one where a pair is beyond the limit, and nowhere else (%i)',
    (seed) => {
      const rng = createRng(seed, 'predict');
      const shape = CONVOLUTIONS[rng.int(CONVOLUTIONS.length)]!;
      const w = mixed(rng, (shape.outputs * shape.channels * shape.kernel ** 2) / shape.group);
      const { params, dims } = convolution(shape, w);
      const float =
        `g (float[1,${shape.channels},${SIZE},${SIZE}] x, float[${dims.join(',')}] w) => (float y) { y = ` +
        `Conv<group = ${shape.group}>(x, w) }`;
      // Each input that is 255 where a pair has one sign shows it: all of them, on a scale where no sum rounds away.
      const x = u8(
        Array.from({ length: shape.channels * SIZE ** 2 }, () => 255),
        [1, shape.channels, SIZE, SIZE],
      );
      const [, , wq] = params;
      const sums = (f: typeof qLinearConv): number[] => [
        ...f(
          [
            x,
            Tensor.f32([1], []),
            u8([0], []),
            wq,
            Tensor.f32([1], []),
            s8([0], []),
            Tensor.f32([1], []),
            Tensor.codes('int32', Int32Array.of(0), []),
          ],
          { group: shape.group },
        )[0]!.f64(),
      ];
      expect(JSON.stringify(sums(saturatingQLinearConv)) !== JSON.stringify(sums(qLinearConv))).toBe(
        predicted(float, dims, w),
      );
    },
  );

  it('sums beyond int16 stop at its ends', () => {
    const [y] = saturatingMatMulInteger([u8([255, 255, 255, 255], [1, 4]), s8([127, 127, -128, -128], [4, 1])], {});
    expect([...y!.f64()]).toEqual([32767 - 32768]);
    const [inside] = saturatingMatMulInteger([u8([255, 255], [1, 2]), s8([64, 64], [2, 1])], {});
    expect([...inside!.f64()]).toEqual([32640]);
  });
});
