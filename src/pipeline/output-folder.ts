/** The output folder of a run: files are made beside it and appear in it together, at the end. */
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { fail } from '../base/errors.js';
import { sha256File, writeFileAtomic } from '../base/files.js';
import type { ExportedFile, FileRole } from '../exporters/types.js';
import type { RunRecord } from '../record/index.js';
import { publish, stagingDir } from './staging.js';

type FileFacts = RunRecord['files'][number];
const MODEL = 'model.onnx';
export const SIMULATED = 'simulated.onnx';
/** Names that a run gives to files of its own. */
const TAKEN = /^(\.|run\.json$|report\.|recipe\.yaml$)/;
const TAKEN_FLAT = /^(\.|model\.onnx|simulated\.onnx|README\.md$|run\.json$|report\.|recipe\.yaml$)/;

export class OutputFolder {
  readonly dir: string;
  /** Of the ONNX model: it shows what was measured, where a runtime is given files of its own. */
  readonly name: string;
  #staging: string | undefined;
  /** Of files that exporters made. */
  readonly #exported = new Map<string, FileRole>();
  /** Folders in it that hold copies of the model. */
  readonly #inside = new Set<string>();
  constructor(dir: string, name: typeof MODEL | typeof SIMULATED = MODEL) {
    this.dir = dir;
    this.name = name;
  }

  /** Makes the folder, and one in it for what is not done. Throws OUTPUT_WRITE. */
  take(): void {
    this.#staging = stagingDir(this.dir);
  }
  #place(): string {
    return this.#staging ?? fail('INTERNAL', `bug in quantbench: '${this.dir}' was not taken before it was written`);
  }
  /** Where the ONNX model is made, with its external data beside it. */
  get model(): string {
    return path.join(this.#place(), this.name);
  }

  /**
   * Adds a file of an exporter; one of a runtime may lie in folders. Throws EXPORT_UNSUPPORTED for a name that is none,
   * or is taken; OUTPUT_WRITE.
   */
  add({ path: name, role, data }: ExportedFile, by: string, where: 'flat' | 'nested' = 'flat'): void {
    const place = this.#place();
    const refuse = (why: string): never =>
      fail('EXPORT_UNSUPPORTED', `${by} gives a file '${name}': ${why}`, {}, 'give it another name');
    const parts = where === 'nested' ? name.split('/') : [name];
    if (!parts.every((part) => /^[\w.-]{1,100}$/.test(part) && !/^\.+$/.test(part)) || parts.length > 8)
      refuse('names are up to 100 letters, digits, and . _ -');
    if ((where === 'flat' ? TAKEN_FLAT : TAKEN).test(name) || name === this.name || this.#exported.has(name))
      refuse('the name is taken');
    mkdirSync(path.dirname(path.join(place, name)), { recursive: true });
    writeFileAtomic(path.join(place, name), data);
    this.#exported.set(name, role);
  }
  /** A new folder in it, whose files go with the model. Throws EXPORT_UNSUPPORTED where the name is taken. */
  inside(name: string): string {
    const folder = path.join(this.#place(), name);
    if (existsSync(folder)) fail('EXPORT_UNSUPPORTED', `a file '${name}' is in the way of a folder of that name`);
    mkdirSync(folder);
    this.#inside.add(name);
    return folder;
  }
  /** Where an exporter made the model that ships, the ONNX model goes with it as what was measured. */
  #roleOf(name: string): FileRole {
    if (this.#inside.has(name.split('/')[0] ?? '')) return 'sidecar';
    return this.#exported.get(name) ?? ([...this.#exported.values()].includes('model') ? 'sidecar' : 'model');
  }

  /** Files so far, by paths with forward slashes. */
  #made(): string[] {
    const staging = this.#place();
    const all = readdirSync(staging, { recursive: true, encoding: 'utf8' }).map((f) => f.split(path.sep).join('/'));
    return all.filter((f) => statSync(path.join(staging, f)).isFile()).sort();
  }
  /** What was made so far; reads every file for its hash. */
  files(): FileFacts[] {
    const staging = this.#place();
    return this.#made().map((name) => ({
      path: name,
      bytes: statSync(path.join(staging, name)).size,
      sha256: sha256File(path.join(staging, name)),
      role: this.#roleOf(name),
    }));
  }
  /** Bytes of what ships. */
  bytes(): number {
    const staging = this.#place();
    const models = this.#made().filter((name) => this.#roleOf(name) === 'model');
    return models.reduce((n, name) => n + statSync(path.join(staging, name)).size, 0);
  }

  /** Moves the files, and texts by name, into the folder: what a model points to before it. Throws OUTPUT_WRITE. */
  publish(texts: Readonly<Record<string, string>>): void {
    const staging = this.#place();
    for (const [name, text] of Object.entries(texts)) writeFileAtomic(path.join(staging, name), text);
    publishMade(staging, this.dir, Object.keys(texts));
  }
  /** Takes away what was not published, and the folder where nothing was made. */
  close(): void {
    if (this.#staging === undefined) return;
    rmSync(this.#staging, { recursive: true, force: true });
    if (existsSync(this.dir) && !readdirSync(this.dir).length) rmdirSync(this.dir);
  }
}

/** Moves what a run made from one folder to another: data before the ONNX model, texts at the end, in their order. */
export function publishMade(from: string, to: string, texts: readonly string[]): void {
  const made = readdirSync(from).filter((f) => !texts.includes(f));
  const isModel = (name: string): boolean => name === MODEL || name === SIMULATED;
  const flat = texts.filter((name) => !name.includes('/')); // the others lie in a folder that was made
  publish(from, to, [...made.filter((f) => !isModel(f)), ...made.filter(isModel), ...flat]);
}
