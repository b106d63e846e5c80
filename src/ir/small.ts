/** A Map and a Set that take little memory while they hold little: graphs have hundreds of thousands of them. */

/** Who is told of every value that is set. */
interface Noting<V> {
  _note(value: V): void;
}

/** So many names are looked through one by one; beyond, a Map takes over. */
const FEW = 8;

/**
 * A Map from names in all but memory, for the attributes of nodes: most have none or a few, and an empty Map takes 180
 * bytes, a fifth of a node.
 */
export class SmallMap<V> implements Map<string, V> {
  #names: string[] | undefined;
  #values: V[] | undefined;
  #many: Map<string, V> | undefined;
  readonly #owner: Noting<V>;
  constructor(owner: Noting<V>) {
    this.#owner = owner;
  }
  get size(): number {
    return this.#many?.size ?? this.#names?.length ?? 0;
  }
  get [Symbol.toStringTag](): string {
    return 'SmallMap';
  }
  get(name: string): V | undefined {
    return this.#many ? this.#many.get(name) : this.#values?.[this.#at(name)];
  }
  has(name: string): boolean {
    return this.#many ? this.#many.has(name) : this.#at(name) >= 0;
  }
  set(name: string, value: V): this {
    this.#owner._note(value);
    const at = this.#many ? -1 : this.#at(name);
    if (at >= 0)
      this.#values![at] = value; // the name was found, so there are values
    else if (this.#many) this.#many.set(name, value);
    else if (this.size === FEW) {
      this.#many = new Map(this.entries()).set(name, value);
      this.#names = this.#values = undefined;
    } else {
      // literals take what they hold, where a first push would reserve room for 17
      this.#names = this.#names ? [...this.#names, name] : [name];
      this.#values = this.#values ? [...this.#values, value] : [value];
    }
    return this;
  }
  delete(name: string): boolean {
    if (this.#many) return this.#many.delete(name);
    const at = this.#at(name);
    if (at < 0) return false;
    this.#names = this.#names?.filter((_, i) => i !== at);
    this.#values = this.#values?.filter((_, i) => i !== at);
    return true;
  }
  clear(): void {
    this.#names = this.#values = this.#many = undefined;
  }
  /** Those of now: a loop may set and delete as it goes. */
  entries(): MapIterator<[string, V]> {
    if (this.#many) return this.#many.entries();
    const values = this.#values ?? [];
    return (this.#names ?? []).map((name, i): [string, V] => [name, values[i]!]).values(); // one value a name
  }
  keys(): MapIterator<string> {
    return this.#many ? this.#many.keys() : (this.#names ?? []).values();
  }
  values(): MapIterator<V> {
    return this.#many ? this.#many.values() : (this.#values ?? []).values();
  }
  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries();
  }
  forEach(see: (value: V, name: string, map: Map<string, V>) => void): void {
    for (const [name, value] of this.entries()) see(value, name, this);
  }
  #at(name: string): number {
    return this.#names ? this.#names.indexOf(name) : -1;
  }
}

/**
 * A Set in all but memory, for the uses of values: most have one, and a Set of one takes 150 bytes.
 */
export class SmallSet<T extends object> implements ReadonlySet<T> {
  #one: T | undefined;
  #many: Set<T> | undefined;
  get size(): number {
    return this.#many ? this.#many.size : this.#one ? 1 : 0;
  }
  has(item: T): boolean {
    return this.#many ? this.#many.has(item) : this.#one === item;
  }
  /** @internal Only the value's node calls this. */ _add(item: T): void {
    if (this.#many) this.#many.add(item);
    else if (!this.#one) this.#one = item;
    else if (this.#one !== item) {
      this.#many = new Set([this.#one, item]);
      this.#one = undefined;
    }
  }
  /** @internal Only the value's node calls this. */ _delete(item: T): void {
    if (this.#many) this.#many.delete(item);
    else if (this.#one === item) this.#one = undefined;
  }
  values(): SetIterator<T> {
    return this.#many ? this.#many.values() : (this.#one ? [this.#one] : []).values();
  }
  keys(): SetIterator<T> {
    return this.values();
  }
  entries(): SetIterator<[T, T]> {
    return this.#many ? this.#many.entries() : (this.#one ? [[this.#one, this.#one] satisfies [T, T]] : []).values();
  }
  [Symbol.iterator](): SetIterator<T> {
    return this.values();
  }
  forEach(see: (item: T, again: T, set: ReadonlySet<T>) => void): void {
    for (const item of this.values()) see(item, item, this);
  }
}
