/**
 * What a record says of one layer, in one place: nodes, points, errors, sensitivity and times are lists of their own
 * there.
 */
import type { NodeFacts, PointFacts, RunRecord, TensorError } from '../record/index.js';

export interface Layer {
  readonly name: string;
  readonly op: string;
  /** Absent for a point that belongs to no node of the list, such as an input of the model. */
  readonly node?: NodeFacts;
  /** Positions in `record.points`: what it makes, its weight and bias, then what else it reads. */
  readonly points: readonly number[];
  /** The point that stands for it in a table: of its output, else of its weight. */
  readonly point?: PointFacts;
  readonly error?: TensorError;
  /** `rank` counts from 1, the most sensitive. */
  readonly sensitivity?: { readonly score: number; readonly share: number; readonly rank: number };
  readonly floatUs?: number;
  readonly quantizedUs?: number;
  /** Largest sum of two adjacent products by weight codes ÷ 32767. */
  readonly pairSum?: number;
}

/** Every node of the record in its order, then the points that no node reads or makes. */
export function layersOf(record: RunRecord): Layer[] {
  const at = new Map(record.points.map((p, i) => [p.name, i]));
  const byTensor = new Map(record.layers?.tensors.map((t) => [t.name, t]));
  const byMaker = new Map(record.layers?.tensors.map((t) => [t.node, t]));
  const scores = new Map(
    record.sensitivity?.layers.map((s, i) => [s.node, { score: s.score, share: s.share, rank: i + 1 }]),
  );
  const times = new Map(record.runtime?.profile?.layers.map((t) => [t.node, t]));
  const sums = new Map(record.runtime?.saturation?.layers.map((s) => [s.node, s.worst]));
  const taken = new Set<number>();
  const layers = record.nodes.map((node): Layer => {
    const points = pointsOf(node, record, at, byMaker.get(node.name)?.name);
    points.forEach((i) => taken.add(i));
    const made = (node.makes ?? []).map((name) => byTensor.get(name)).find((t) => t !== undefined);
    const time = times.get(node.name);
    return {
      name: node.name,
      op: node.op,
      node,
      points,
      ...standing(record, points),
      ...given('error', made ?? byMaker.get(node.name)),
      ...given('sensitivity', scores.get(node.name)),
      ...given('floatUs', time?.floatUs),
      ...given('quantizedUs', time?.quantizedUs),
      ...given('pairSum', sums.get(node.name)),
    };
  });
  record.points.forEach((p, i) => {
    if (!taken.has(i))
      layers.push({ name: p.name, op: p.role, points: [i], point: p, ...given('error', byTensor.get(p.name)) });
  });
  return layers;
}

/**
 * Made first, then weight and bias, then activations it reads. Records of other makers may lack the links; exporters of
 * PyTorch name outputs after nodes.
 */
function pointsOf(
  node: NodeFacts,
  record: RunRecord,
  at: ReadonlyMap<string, number>,
  made: string | undefined,
): number[] {
  const find = (names: readonly string[]): number[] => names.map((n) => at.get(n)).filter((i) => i !== undefined);
  const makes = find(node.makes ?? [...new Set([...(made === undefined ? [] : [made]), `${node.name}_output_0`])]);
  const reads = find(node.reads ?? []);
  const constant = (i: number): boolean => record.points[i]?.role !== 'activation';
  return [...new Set([...makes, ...reads.filter(constant), ...reads.filter((i) => !constant(i))])];
}

function standing(record: RunRecord, points: readonly number[]): { readonly point?: PointFacts } {
  return given('point', points[0] === undefined ? undefined : record.points[points[0]]);
}

/** An optional property, which is absent rather than undefined. */
const given = <K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } =>
  value === undefined ? {} : ({ [key]: value } as { [P in K]: V }); // a computed key has type string
