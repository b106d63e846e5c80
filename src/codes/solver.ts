/** Solves the rows of layers; in threads of their own where they are work enough. The bytes are the same. */
import { Worker } from 'node:worker_threads';
import { item } from '../base/lists.js';
import { QuantError } from '../base/errors.js';
import { reason } from '../base/files.js';
import type { OrderedHessian, RowsProblem } from '../channels/layer.js';
import { byInput, orderHessian } from './ordered.js';
import { weightMethods } from './index.js';
import { factorReverse } from './linear.js';
import { freshKernels, linearKernels, type LinearKernels } from './linear-kernels.js';
import type { Damped, InputSums } from './measure.js';
import { ownersOf } from './parts.js';
import {
  fitRows,
  roomOf,
  ROWS,
  solveRows,
  type RowJob,
  type SharedMatrix,
  type ThreadJob,
  type ThreadResult,
} from './row-jobs.js';
import type { Solved, WeightMethod } from './types.js';

export interface SolverOptions {
  readonly threads: number;
  /** Rows · columns² from which threads are worth it. */
  readonly worth?: number;
}
const WORTH = 1 << 26;
/** Rows are handed out in a few times as many parts as there are threads. */
const PARTS = 4;
/** Up to so many bytes three matrices lie side by side; beyond, two of them take turns. */
const SIDE_BY_SIDE = 256 << 20;

/** One layer after the other. To be closed. */
export class RowsSolver {
  readonly #threads: number;
  readonly #worth: number;
  #kernels: LinearKernels = linearKernels();
  #workers: Worker[] = [];
  #columns = 0;
  /** Matrices made of a Hessian: its factor, and its columns in order. */
  #fit: Held<Float64Array> | undefined;
  #ordered: Held<OrderedHessian> | undefined;

  constructor({ threads, worth = WORTH }: SolverOptions) {
    this.#threads = threads;
    this.#worth = worth;
  }

  /**
   * The weights [rows, columns] that, on the inputs of the quantized model, give what the float model gives on its own.
   */
  async fit(
    float: Float64Array,
    rows: number,
    { matrix, more }: Damped,
    { cross, sums: { length: columns } }: InputSums,
  ): Promise<Float64Array> {
    this.#place(columns);
    const l = this.#factorOf(matrix, columns);
    const job = { kind: 'fit', columns, float, cross, more, l: placeOf(l) } as const;
    if (!this.#apart(rows, columns)) return fitRows({ ...job, l }, this.#kernels);
    const parts = this.#partsOf(rows).map(([from, to]) => ({
      ...job,
      float: float.slice(from * columns, to * columns),
    }));
    const made = (await this.#run(parts, columns)) as Float64Array[]; // what fits give
    const all = new Float64Array(float.length);
    made.reduce((at, part) => (all.set(part, at), at + part.length), 0);
    return all;
  }

  /** What a method gives. `damped`: of the problem's inputs, where it has any. */
  async solve(
    problem: RowsProblem,
    method: WeightMethod,
    options: unknown,
    damped: Damped | undefined,
  ): Promise<Solved> {
    const { rows, columns, hessian, grid } = problem;
    if (!damped) return method.solve(problem, options);
    this.#place(columns);
    const made = method.ordered?.(options) ? this.#orderedOf(hessian, columns) : undefined;
    const job = { kind: 'solve', method: method.name, options } as const;
    const apart = weightMethods.includes(method) && this.#apart(rows, columns) && !ownersOf(grid, columns).includes(-1);
    if (!apart) return solveRows({ ...job, problem, ordered: made }, method, this.#kernels);
    const ordered = made && { order: made.order, h: placeOf(made.h), l: placeOf(made.l) };
    const cut = this.#partsOf(rows).map(([from, to]) => cutRows(problem, from, to));
    const all = (await this.#run(
      cut.map((c) => ({ ...job, problem: c.problem, ordered })),
      columns,
    )) as Solved[]; // what methods give
    return joined(problem, cut, all);
  }

  async close(): Promise<void> {
    this.#kernels.within(0, Infinity);
    await this.#stop();
  }
  /** Gives back what memory it has, until it is needed again. */
  async rest(): Promise<void> {
    await this.#stop();
    this.#columns = 0;
    this.#fit = this.#ordered = undefined;
    this.#kernels = freshKernels();
  }
  async #stop(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map((w) => w.terminate()));
  }

  #apart(rows: number, columns: number): boolean {
    return this.#threads > 1 && rows > ROWS && this.#kernels.memory !== undefined && rows * columns ** 2 >= this.#worth;
  }
  #partsOf(rows: number): [from: number, to: number][] {
    const step = ROWS * Math.ceil(rows / (ROWS * PARTS * this.#threads));
    return Array.from({ length: Math.ceil(rows / step) }, (_, i) => [i * step, Math.min(rows, (i + 1) * step)]);
  }

  /** Makes room in the memory: first matrices of so many columns, then what each thread needs. */
  #place(columns: number): void {
    if (columns === this.#columns) return;
    this.#columns = columns;
    this.#fit = this.#ordered = undefined;
    this.#kernels.within(matrixBytes(columns), Infinity);
    this.#kernels.arrays((this.#threads * roomOf(columns)) / 8);
  }
  #matrix(index: number, columns: number): Float64Array {
    this.#kernels.within(index * 8 * columns ** 2, matrixBytes(columns));
    const [made] = this.#kernels.arrays(columns ** 2) as [Float64Array]; // as many as asked for
    this.#kernels.within(matrixBytes(columns), Infinity);
    return made;
  }
  #factorOf(hessian: Float64Array, columns: number): Float64Array {
    if (this.#fit?.of === hessian) return this.#fit.made;
    const apart = matrixCount(columns) > 2;
    if (!apart) this.#ordered = undefined;
    const made = this.#matrix(apart ? 2 : 1, columns);
    made.set(hessian);
    factorReverse(made, columns, item(this.#kernels.arrays(ROWS), 0), this.#kernels);
    this.#fit = { of: hessian, made };
    return made;
  }
  #orderedOf(hessian: Float64Array, columns: number): OrderedHessian {
    if (this.#ordered?.of === hessian) return this.#ordered.made;
    if (matrixCount(columns) === 2) this.#fit = undefined;
    const [h, l] = [this.#matrix(0, columns), this.#matrix(1, columns)];
    const sums = item(this.#kernels.arrays(ROWS), 0);
    const made = orderHessian(hessian, { order: byInput(hessian, columns), h, l }, sums, this.#kernels);
    this.#ordered = { of: hessian, made };
    return made;
  }

  /** The answers to jobs in their order; each thread takes the next that is left. */
  async #run(jobs: readonly RowJob[], columns: number): Promise<(Float64Array | Solved)[]> {
    const memory = this.#kernels.memory!; // threads are for kernels that have one
    while (this.#workers.length < Math.min(this.#threads, jobs.length))
      this.#workers.push(new Worker(new URL('./solve-thread.js', import.meta.url), { workerData: memory }));
    const made: (Float64Array | Solved)[] = [];
    let next = 0;
    const room = roomOf(columns);
    const work = async (worker: Worker, w: number): Promise<void> => {
      const from = matrixBytes(columns) + w * room;
      for (let i = next++; i < jobs.length; i = next++)
        made[i] = await answerOf(worker, { job: item(jobs, i), from, to: from + room });
    };
    try {
      await Promise.all(this.#workers.map(work));
    } catch (error) {
      await this.#stop(); // others may still be at a job
      throw error;
    }
    return made;
  }
}

interface Held<T> {
  readonly of: Float64Array;
  readonly made: T;
}

/** Beyond some size the factor for fits takes the place of the ordered one. */
const matrixCount = (columns: number): number => (3 * 8 * columns ** 2 <= SIDE_BY_SIDE ? 3 : 2);
const matrixBytes = (columns: number): number => 16 * Math.ceil((matrixCount(columns) * 8 * columns ** 2) / 16);

/** Where threads find a matrix. */
const placeOf = (m: Float64Array): SharedMatrix => (m.buffer instanceof SharedArrayBuffer ? m.byteOffset : m);

function answerOf(worker: Worker, job: ThreadJob): Promise<Float64Array | Solved> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      worker.off('message', told).off('error', failed).off('exit', gone);
    };
    const told = (result: ThreadResult): void => {
      done();
      if ('made' in result) resolve(result.made);
      else failed(result.error);
    };
    const failed = (cause: unknown): void => {
      done();
      reject(
        new QuantError('INTERNAL', `bug in quantbench: a thread that solves rows failed: ${reason(cause)}`, { cause }),
      );
    };
    const gone = (code: number): void => {
      failed(new Error(`it ended with ${code}`));
    };
    worker.on('message', told).on('error', failed).on('exit', gone);
    worker.postMessage(job);
  });
}

/** Some rows of a problem, and the number that each of their parts has in it. */
interface Cut {
  readonly problem: Omit<RowsProblem, 'ordered'>;
  readonly parts: Int32Array;
}

/** Rows from…to, whose parts are their own. */
function cutRows({ ordered: _, ...problem }: RowsProblem, from: number, to: number): Cut {
  const { columns, grid } = problem;
  const [first, end] = [from * columns, to * columns];
  const own = new Map<number, number>();
  const part = Int32Array.from(grid.part.subarray(first, end), (p) => {
    const known = own.get(p);
    if (known !== undefined) return known;
    own.set(p, own.size);
    return own.size - 1;
  });
  const parts = Int32Array.from(own.keys());
  return {
    parts,
    problem: {
      ...problem,
      rows: to - from,
      target: problem.target.slice(first, end),
      zeros: problem.zeros?.slice(first, end),
      grid: {
        ...grid,
        part,
        scale: Float64Array.from(parts, (p) => item(grid.scale, p)),
        zeroPoint: Int32Array.from(parts, (p) => item(grid.zeroPoint, p)),
      },
    },
  };
}

/** What was made of all rows, which stand one cut behind the other. */
function joined({ grid, target }: RowsProblem, cuts: readonly Cut[], made: readonly Solved[]): Solved {
  const codes = new Int32Array(target.length);
  const scale = grid.scale.slice();
  const zeroPoint = grid.zeroPoint.slice();
  let at = 0;
  made.forEach((own, i) => {
    codes.set(own.codes, at);
    at += own.codes.length;
    item(cuts, i).parts.forEach((p, k) => {
      scale[p] = item(own.scale, k);
      zeroPoint[p] = item(own.zeroPoint, k);
    });
  });
  return { codes, scale, zeroPoint };
}
