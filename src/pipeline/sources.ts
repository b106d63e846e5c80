/** The files that a float model comes from: what identifies their content, and proof that they stayed as they were. */
import { item } from '../base/lists.js';
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { fail } from '../base/errors.js';
import { sha256File } from '../base/files.js';
import { allGraphs, type Model } from '../ir/model.js';
import type { Tensor } from '../ir/tensor.js';

export interface Sources {
  /** Watches the data files of the model too. */
  add(model: Model): void;
  /** Lower-case hex SHA-256 of the model file. */
  readonly sha256: string;
  /** Lower-case hex SHA-256 over the model file and its data files: two models of the same value are the same. */
  contentSha256(): string;
  /** Throws MODEL_CHANGED where a file is not the one that was loaded: what was measured would belong to two models. */
  assertUnchanged(): void;
}

/** Watches a model file from before it is loaded. Throws MODEL_MISSING, on `sha256`, where it cannot be read. */
export function watchSources(file: string): Sources {
  const seen = new Map([[file, stamp(file)]]);
  return {
    add(model) {
      for (const data of dataFiles(model)) seen.set(data, stamp(data));
    },
    get sha256() {
      return sha256File(file);
    },
    contentSha256() {
      const parts = [...seen.keys()].map(sha256File);
      // the model file is always there
      return parts.length === 1 ? item(parts, 0) : createHash('sha256').update(parts.join()).digest('hex');
    },
    assertUnchanged() {
      for (const [path, before] of seen)
        if (stamp(path) !== before)
          fail(
            'MODEL_CHANGED',
            `'${path}' changed while the model was in use`,
            { file: path },
            'run again, and leave the file alone meanwhile',
          );
    },
  };
}

/** What changes when a file is written or replaced; undefined where it cannot be seen. */
function stamp(file: string): string | undefined {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch {
    return undefined; // reading it tells why
  }
}

/** Bytes of a model on disk: its file, and the files that hold its external data. */
export function bytesOnDisk(file: string, model: Model): number {
  return [file, ...dataFiles(model)].reduce((n, f) => n + (statSync(f, { throwIfNoEntry: false })?.size ?? 0), 0);
}

/** Paths of the data files that tensors of a loaded model lie in. */
export function dataFiles(model: Model): Set<string> {
  const files = new Set<string>();
  const see = (t: Tensor | undefined): void => {
    const path = t && t.dtype !== 'string' ? t.source.file?.path : undefined;
    if (path !== undefined) files.add(path);
  };
  for (const root of [model.graph, ...model.functions.map((f) => f.graph)]) {
    for (const g of allGraphs(root)) {
      for (const v of g.initializers) see(v.data);
      for (const n of g.nodes)
        n.attrs.forEach((a) => {
          if (a.type === 'tensor') see(a.value);
          else if (a.type === 'tensors') a.value.forEach(see);
        });
    }
  }
  return files;
}
