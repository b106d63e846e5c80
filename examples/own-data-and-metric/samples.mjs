// @ts-check

/**
 * Squares of one colour on a gray ground, drawn here; a module may as well ask a database. The label is the class that
 * the demo model should see: 6, square.
 * @type {import('quantbench').DataModule<{ count: number, first: number }>['samples']}
 */
export function* samples({ count, first }, inputs) {
  const name = inputs[0]?.name ?? 'input';
  for (let i = first; i < first + count; i++) {
    const data = new Float32Array(3 * 32 * 32).fill(0);
    const half = 7 + (i % 4);
    for (let c = 0; c < 3; c++) {
      for (let y = 16 - half; y < 16 + half; y++) {
        for (let x = 16 - half; x < 16 + half; x++) data[(c * 32 + y) * 32 + x] = ((i * (c + 2)) % 5) / 2 - 1.5;
      }
    }
    yield { feed: { [name]: data }, label: 6, id: `square-${i}` };
  }
}
