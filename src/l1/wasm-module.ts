/** WebAssembly beside the shared table: the few names of it that are used here, since the compiler's library has none. */

/** What a shared `WebAssembly.Memory` is to us. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}

declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => SharedMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { env: { memory: SharedMemory } },
  ) => { readonly exports: unknown };
};

/** In pages of 64 KiB, all zeros; it never grows. */
export function sharedMemory(pages: number): SharedMemory {
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/** An instance of the code of its own for the caller, over that memory; `Exports` is what the code's file exports. */
export function linked<Exports>(code: Uint8Array, memory: SharedMemory): Exports {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(code), { env: { memory } });
  return instance.exports as Exports;
}
