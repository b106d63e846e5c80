import { describe, expect, it } from 'vitest';
import { layersOf } from '../../../src/report/join.js';
import { makeRecord } from './record.js';

describe('layers of a record', () => {
  const record = makeRecord(4);
  it('hold all that is known of a node: what it makes, its weight and bias, what else it reads', () => {
    const layer = layersOf(record)[1]!;
    expect(layer.points.map((i) => record.points[i]!.name)).toEqual([
      '/block0/conv1/Conv_output_0',
      'block1.weight',
      'block1.bias',
      '/block0/conv0/Conv_output_0',
    ]);
    expect(layer).toMatchObject({
      name: '/block0/conv1/Conv',
      point: { name: '/block0/conv1/Conv_output_0' },
      error: { sqnrDb: 37 },
      floatUs: 33,
      quantizedUs: 13,
      pairSum: 1.1,
    });
    expect(layer.sensitivity!.rank).toBe(4); // (1 · 7) mod 4 = 3: the smallest score
  });
  it('find outputs by the names that exporters give, where a record has no links', () => {
    const bare = makeRecord(2, '', {
      nodes: record.nodes.slice(0, 2).map(({ makes: _makes, reads: _reads, ...n }) => n),
      layers: undefined,
    });
    expect(layersOf(bare)[0]!.point!.name).toBe('/block0/conv0/Conv_output_0');
    expect(
      layersOf(bare)
        .slice(2)
        .map((l) => l.name),
    ).toEqual(['block0.weight', 'block0.bias', 'block1.weight', 'block1.bias']);
  });
  it('lack what was not measured', () => {
    const layer = layersOf(makeRecord(1, '', { layers: undefined, sensitivity: undefined, runtime: undefined }))[0]!;
    expect(Object.keys(layer).sort()).toEqual(['name', 'node', 'op', 'point', 'points']);
  });
});
