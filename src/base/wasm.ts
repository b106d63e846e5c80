/** WebAssembly modules. */

/** Memory of a module; that of {@link sharedMemory} may be posted to a thread. */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): number;
}

/** The part of the global that we use: its types come with the DOM's, which Node code does not load. */
interface Engine {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
  readonly Memory: new (d: { readonly initial: number; readonly maximum: number; readonly shared: true }) => WasmMemory;
}
const engine = (): Engine => (globalThis as unknown as { WebAssembly: Engine }).WebAssembly; // every Node has it

/**
 * What a module exports, with the memory that it imports. Throws what the engine throws where it refuses the module,
 * such as one without SIMD.
 */
export function exportsOf(module: Uint8Array, memory?: WasmMemory): object {
  const { Module, Instance } = engine();
  return new Instance(new Module(module), memory ? { env: { memory } } : {}).exports;
}

/** Memory of no more than so many pages of 64 KB that threads may share. Throws where there is no room for it. */
export function sharedMemory(maximum: number): WasmMemory {
  const { Memory } = engine();
  return new Memory({ initial: 1, maximum, shared: true });
}
