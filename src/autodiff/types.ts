/** What is asked of a gradient model. */
export interface GradientOptions {
  /** The value that is differentiated: one float number. */
  readonly loss: string;
  /** Initializers, inputs or values in between, by which it is. */
  readonly wrt: readonly string[];
  /** Further values that the model returns, before the gradients. Default: none. */
  readonly outputs?: readonly string[];
  /** Shapes of inputs by name. All sizes that gradients depend on must be fixed. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** Size of the first axis of every input that leaves it open; axes of the same name get it too. */
  readonly batch?: number;
  /**
   * frozen (the default): running statistics, as at inference. batch: statistics of the batch, and gradients through
   * them; for a BatchNormalization with running statistics M and V the model also returns `batch of M` and
   * `batch of V`.
   */
  readonly batchNorm?: 'frozen' | 'batch';
  /**
   * What steps (Round, Floor, Ceil, Sign, QuantizeLinear) has no gradient (zero, the default), or that of the function
   * without steps, within the range of the codes (straight-through).
   */
  readonly rounding?: 'zero' | 'straight-through';
  /** Values that count as constants: no gradient goes on to what they are computed from. Default: none. */
  readonly constants?: readonly string[];
  /** Initializers of `wrt` become inputs, which a caller must feed: a step of training changes them. */
  readonly weightsAsInputs?: boolean;
}
