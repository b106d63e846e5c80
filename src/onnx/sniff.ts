/** What a file that is not an ONNX model looks like, for a message that helps. */
export interface SeenFormat {
  readonly what: string;
  readonly hint: string;
}

const MAGIC: readonly (readonly [magic: readonly number[], what: string, hint: string])[] = [
  [[0x50, 0x4b, 0x03, 0x04], 'a zip archive (or a PyTorch checkpoint)', 'unpack it, or export the checkpoint to ONNX'],
  [[0x1f, 0x8b], 'gzip-compressed', 'decompress it first'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'zstd-compressed', 'decompress it first'],
  [[0x42, 0x5a, 0x68], 'bzip2-compressed', 'decompress it first'],
  [[0x89, 0x48, 0x44, 0x46], 'an HDF5 file (Keras)', 'export the model to ONNX'],
  [[0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59], 'a NumPy array', 'give the .onnx file'],
  [[0x80, 0x02], 'a Python pickle', 'export the model to ONNX'],
  [[0x25, 0x50, 0x44, 0x46], 'a PDF', 'give the .onnx file'],
  [[0x89, 0x50, 0x4e, 0x47], 'a PNG image', 'give the .onnx file'],
  [[0xff, 0xd8, 0xff], 'a JPEG image', 'give the .onnx file'],
  [[0x47, 0x47, 0x55, 0x46], 'a GGUF file', 'export the model to ONNX'],
];

/** The foreign format of `bytes`, or undefined where they could be protobuf. */
export function describeFormat(bytes: Uint8Array): SeenFormat | undefined {
  if (bytes.length === 0) return { what: 'empty (0 bytes)', hint: 'download or export it again' };
  for (const [magic, what, hint] of MAGIC) if (magic.every((b, i) => bytes[i] === b)) return { what, hint };
  const at = (offset: number, text: string): boolean =>
    [...text].every((c, i) => bytes[offset + i] === c.charCodeAt(0));
  if (at(4, 'TFL3')) return { what: 'a TensorFlow Lite model', hint: 'convert it with tf2onnx' };
  if (at(4, 'ORTM')) return { what: 'a model in the ORT format', hint: 'give the .onnx file it was made from' };
  const head = new TextDecoder().decode(bytes.subarray(0, 512)).trimStart();
  if (head.startsWith('version https://git-lfs'))
    return { what: 'a git-LFS pointer, not the model itself', hint: 'run `git lfs pull`' };
  if (/^(<!doctype|<html|<\?xml|<!--)/i.test(head))
    return { what: 'an HTML or XML page', hint: 'the download went to a web page; fetch the raw file' };
  if (/^[{[]\s*["{[]/.test(head)) return { what: 'JSON text', hint: 'give the binary .onnx file' };
  if (bytes.subarray(0, 4096).every((b) => b === 0))
    return { what: 'filled with zero bytes', hint: 'the download or copy broke off; fetch it again' };
  return undefined;
}
