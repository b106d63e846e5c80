/** Weights of runtimes whose kernels take any two of an output together. */
import { expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import type { Value } from '../../../src/ir/graph.js';
import { withAnyPairs } from '../../../src/quantize/assign.js';
import { dataRange } from '../../../src/scheme/layout.js';
import { chooseParams } from '../../../src/scheme/params.js';
import type { QuantParams, QuantPoint } from '../../../src/scheme/types.js';
import { onnxruntimeCpu } from '../../../src/targets/onnxruntime-cpu/index.js';
import { openvino } from '../../../src/targets/openvino/index.js';
import type { Target } from '../../../src/targets/types.js';
import { netOf, quantized } from '../targets/graphs.js';

const NET = netOf(`(float[N,4,8,8] x) => (float[N,5] y)
  <float[4,1,3,3] d, float[6,4,3,3] w, float[6] b, float[6,5] m> {
    a = Conv<group = 4, pads = [1,1,1,1]>(x, d)
    c = Conv(a, w, b)
    p = GlobalAveragePool(c)
    f = Flatten(p)
    y = MatMul(f, m)
  }`);

const weightAt = (point: QuantPoint): Value => {
  const value = 'uses' in point ? point : point.node.inputs[point.index];
  if (!value) throw new QuantError('INTERNAL', 'a point without a value', {});
  return value;
};

/** The plan of a target, with weights in the range that they have. */
async function planOf(target: Target) {
  const { planned, params: any } = await quantized(target, NET);
  const params = new Map<QuantPoint, QuantParams>();
  for (const [point, p] of any) {
    const { data } = weightAt(point);
    const own = data && p.scheme.dtype === 'int8' ? dataRange(data.f32(), data.dims, p.scheme.granularity) : undefined;
    params.set(point, own ? chooseParams(own, p.scheme) : p);
  }
  return { planned, assigned: { params, diagnostics: [] } };
}

it('keep to codes of which no two of an output can saturate, beyond 7 bits', async () => {
  const { planned, assigned } = await planOf(openvino);
  const { params } = withAnyPairs(planned, assigned);
  expect([...(planned.narrowed?.keys() ?? [])].map((p) => weightAt(p).name).sort()).toEqual(['d', 'm', 'w']);
  for (const point of planned.narrowed?.keys() ?? []) {
    const { codes, scheme, scale } = params.get(point)!; // it was assigned
    const [q, outputs] = [codes!.f64(), scale.length];
    const last = weightAt(point).name === 'm';
    expect(scheme.bits).toBeUndefined();
    expect(Math.max(...q.map(Math.abs)), weightAt(point).name).toBeGreaterThan(64);
    for (let o = 0; o < outputs; o++) {
      const row = [...q].filter((_, i) => (last ? i % outputs : Math.floor((i * outputs) / q.length)) === o);
      for (const sign of [1, -1]) {
        const [first = 0, second = 0] = row.map((c) => sign * c).sort((a, b) => b - a);
        if (second > 0) expect(first + second).toBeLessThanOrEqual(128);
      }
    }
  }
});

it('give biases the scales that follow', async () => {
  const { planned, assigned } = await planOf(openvino);
  const { params } = withAnyPairs(planned, assigned);
  const named = (name: string): QuantParams => [...params].find(([p]) => weightAt(p).name === name)![1]; // it has one
  const [a, w, b] = [named('a'), named('w'), named('b')];
  expect(b.scale).toEqual(w.scale.map((s) => Math.fround(s * a.scale[0]!)));
  expect(w.scale).not.toEqual(
    assigned.params.get([...planned.narrowed!.keys()].find((p) => weightAt(p).name === 'w')!)?.scale,
  );
});

it('stay as they are where they were chosen, and for kernels that take neighbours', async () => {
  const { planned, assigned } = await planOf(openvino);
  const once = withAnyPairs(planned, assigned);
  const twice = withAnyPairs(planned, once);
  for (const point of planned.narrowed?.keys() ?? [])
    expect(twice.params.get(point)?.codes).toBe(once.params.get(point)?.codes);
  const other = await planOf(onnxruntimeCpu);
  expect(withAnyPairs(other.planned, other.assigned)).toBe(other.assigned);
});
