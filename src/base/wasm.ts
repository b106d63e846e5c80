/** WebAssembly modules. */

/** The part of the global that we use: its types come with the DOM's, which Node code does not load. */
interface Engine {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: object };
}

/** What a module exports. Throws what the engine throws where it refuses the module, such as one without SIMD. */
export function exportsOf(module: Uint8Array): object {
  const { Module, Instance } = (globalThis as unknown as { WebAssembly: Engine }).WebAssembly; // every Node has it
  return new Instance(new Module(module)).exports;
}
