/** How the codes of a layer's weights are chosen, beyond rounding each to the nearest. */
import { item } from '../base/lists.js';
import type { Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { ChannelMoments } from '../channels/moments.js';
import type { Feed } from '../ir/feed.js';
import type { Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { Planned } from '../scheme/quantized.js';
import type { Packing, QuantParams, QuantPoint } from '../scheme/types.js';
import type { z } from 'zod';
import { roundHalfEven } from '../scheme/rounding.js';
import type { Grid, LayerShape, RowsProblem } from '../channels/layer.js';

export interface Solved {
  /** One for each weight, row-major. */
  readonly codes: Int32Array;
  /** The grid's scales, possibly changed. */
  readonly scale: Float64Array;
  readonly zeroPoint: Int32Array;
}

export interface WeightMethod<O = unknown> {
  readonly name: string;
  readonly doc: string;
  readonly options: z.ZodType<O>;
  /**
   * Whether it looks at what the layer's inputs are: required needs calibration data, optional takes them where they
   * are.
   */
  readonly inputs: 'none' | 'optional' | 'required';
  /**
   * Set where, without inputs, what is chosen for a scale follows from its own weights alone: files larger than memory
   * are then solved some rows at a time.
   */
  readonly byPart?: true;
  /** Whether a decoder may write its own samples where a recipe names none. */
  readonly ownText?: true;
  /**
   * Whether, with inputs, it goes through columns in order of their energy: these are then ordered once for all layers
   * that read them.
   */
  ordered?(options: O): boolean;
  /** Pure. */
  solve(problem: RowsProblem, options: O): Solved;
  /**
   * Where it looks at several layers at once: what goes on with its layers, all of equal options, once they have codes.
   *
   * @internal
   */
  refine?(all: LayerwiseOptions, layers: ReadonlyMap<Node, LayerShape>, options: O): Refiner;
}

/** Changes the weights and biases of layers that have codes already. */
export interface Refiner {
  /**
   * Told of each layer, in order, once it has codes; `chosen` has the parameters of all weights so far. Gives new ones
   * of weights that it has changed. `makeRoom` gives back the memory that choosing codes took: to be called before more
   * is needed.
   */
  done(
    layer: LayerShape,
    chosen: ReadonlyMap<QuantPoint, QuantParams>,
    makeRoom: () => Promise<void>,
  ): Promise<ReadonlyMap<QuantPoint, QuantParams>>;
}

/** The code of each weight that is nearest to it on a grid. */
export function nearestCodes(target: Float64Array, { part, scale, zeroPoint, low, high }: Grid): Int32Array {
  const codes = new Int32Array(target.length);
  for (let at = 0; at < target.length; at++) {
    const p = part[at]!; // every element has a part
    codes[at] = Math.min(high, Math.max(low, roundHalfEven(target[at]! / scale[p]!) + zeroPoint[p]!)); // p is a part
  }
  return codes;
}

/** Codes in which weights that are zero in the float model mean zero, whatever a method made of them. */
export function withZeros(solved: Solved, { zeros, grid }: Pick<RowsProblem, 'zeros' | 'grid'>): Solved {
  if (!zeros) return solved;
  const { zeroPoint } = solved;
  return {
    ...solved,
    codes: solved.codes.map((code, at) => (zeros[at] ? item(zeroPoint, item(grid.part, at)) : code)),
  };
}

/** A folder, and the hash of all that the codes depend on. */
export interface JournalPlace {
  readonly folder: string;
  readonly key: string;
}

export interface LayerwiseOptions {
  /** Planned; the data of its weights and biases are replaced by what the chosen codes mean. */
  readonly model: Model;
  /** A copy of the model from before, and its nodes by those of `model`. */
  readonly reference: { readonly model: Model; readonly nodes: ReadonlyMap<Node, Node> };
  readonly planned: Planned;
  /** How kernels take weights that must not saturate. */
  readonly packings?: ReadonlyMap<QuantPoint, readonly Packing[]> | undefined;
  /** Parameters of every point, from which weights start. */
  readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  readonly method: WeightMethod;
  readonly methodOptions: unknown;
  /** Another method for single layers. */
  readonly methodOf?:
    ((node: Node) => { readonly method: WeightMethod; readonly options: unknown } | undefined) | undefined;
  /** Share of the mean input energy that is added to each, so that inputs that were never seen cannot be misused. */
  readonly damping: number;
  /** Whether layers are fitted to the outputs of the float model, not of the quantized layers before them. */
  readonly matchFloat: boolean;
  /** Whether there are calibration data for methods that can do without. */
  readonly hasInputs: boolean;
  readonly correctBias: boolean;
  readonly correctScale: boolean;
  /**
   * By value, the mean of each channel along axis 1, where biases are to be corrected by it; where inputs are measured,
   * by those.
   */
  readonly expected?: ReadonlyMap<Value, ChannelMoments> | undefined;
  readonly feeds: () => AsyncIterable<Feed>;
  /** About how many samples and feeds there are. */
  readonly samples: number;
  readonly totalFeeds?: number | undefined;
  readonly threads: number;
  /** Where steps that are done are written down, so that a run that was killed goes on behind them. */
  readonly journal?: JournalPlace | undefined;
  readonly report: (d: Diagnostic) => void;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}
export interface Layerwise {
  /** New parameters of weights. */ readonly params: ReadonlyMap<QuantPoint, QuantParams>;
  readonly layers: number;
  readonly biases: number;
}
