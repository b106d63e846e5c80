/** Names of classes in the order of a model's scores: as models carry them, and matched with names of folders. */

/** Keys of a model's metadata that hold class names, the most telling first. */
const KEYS = ['names', 'classes', 'labels', 'class_names', 'id2label', 'label_names', 'class_to_idx', 'label2id'];
/** Longer texts are no lists of names. */
const MOST_LENGTH = 1 << 20;
/**
 * The class names that a model's metadata list, in the order of its scores; undefined where no key holds a list of two
 * or more different names.
 */
export function namesInMetadata(
  metadata: ReadonlyMap<string, string>,
): { readonly key: string; readonly names: readonly string[] } | undefined {
  for (const key of KEYS) {
    const text = metadata.get(key)?.trim() ?? '';
    const names = text.length > MOST_LENGTH ? undefined : namesIn(text);
    if (names && names.length > 1 && new Set(names).size === names.length && names.every((n) => n !== ''))
      return { key, names };
  }
  return undefined;
}

/** JSON, a Python list or dict as Ultralytics writes it, or names separated by lines or commas. */
function namesIn(text: string): readonly string[] | undefined {
  if (/^[[{]/.test(text)) {
    const value = jsonOf(text);
    return value === undefined ? quotedNames(text) : listed(value);
  }
  const lines = text
    .split(/\r?\n/)
    .map((l) => l.trim())
    .filter((l) => l !== '');
  return (lines.length > 1 ? lines : text.split(/[,;]/).map((l) => l.trim())).map((l) =>
    l.replace(/^(['"])(.*)\1$/, '$2'),
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A list of names, or an object from numbers to names or from names to numbers. */
function listed(value: unknown): readonly string[] | undefined {
  if (Array.isArray(value)) return value.every((v) => typeof v === 'string') ? value : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  const pairs = Object.entries(value).map(([k, v]: [string, unknown]) =>
    typeof v === 'string' ? ([Number(k), v] as const) : ([Number(v), k] as const),
  );
  return inOrder(pairs);
}

/** The quoted texts, by the numbers before them where there are any. One pass: an open quote takes the rest. */
function quotedNames(text: string): readonly string[] | undefined {
  const found: [number, string][] = [];
  let number = '';
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!; // within the length
    if (c >= '0' && c <= '9') number += c;
    else if (c === ',') number = '';
    else if (c === "'" || c === '"') {
      let name = '';
      for (i++; i < text.length && text[i] !== c; i++) name += text[i] === '\\' ? (text[++i] ?? '') : text[i];
      if (i >= text.length) return undefined;
      found.push([number === '' ? NaN : Number(number), name]);
    }
  }
  return found.every(([at]) => Number.isNaN(at)) ? found.map(([, name]) => name) : inOrder(found);
}

/** Numbered names by their numbers, which must be 0, 1, 2 and so on. */
function inOrder(pairs: readonly (readonly [number, string])[]): readonly string[] | undefined {
  const sorted = [...pairs].sort((a, b) => a[0] - b[0]);
  return sorted.every(([at], i) => at === i) ? sorted.map(([, name]) => name) : undefined;
}

/** Names that differ in case, and in blanks, lines and dots between words, are the same. */
const plain = (name: string): string =>
  name
    .normalize('NFC')
    .toLowerCase()
    .replace(/[\s_.-]+/g, ' ')
    .trim();

/** `names` with the spelling of the folders, where each folder is one of them; else the folders that are none. */
export function spelledAs(
  folders: readonly string[],
  names: readonly string[],
): { readonly names: readonly string[]; readonly strange: readonly string[] } {
  const exact = new Set(names);
  const byPlain = new Map(names.map((n, i) => [plain(n), i]));
  const unique = byPlain.size === names.length;
  const spelled = [...names];
  const strange = folders.filter((f) => {
    if (exact.has(f)) return false;
    const at = unique ? byPlain.get(plain(f)) : undefined;
    if (at === undefined) return true;
    spelled[at] = f;
    return false;
  });
  return { names: spelled, strange };
}
