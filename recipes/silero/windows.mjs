/** Windows of made-up sound: voices (harmonics of a gliding pitch under formants), noise and silence, at both rates that the detector takes. */
export function* samples({ count = 120, seed = 1 }) {
  let state = seed >>> 0;
  const random = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32; };
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  for (let i = 0; i < count; i++) {
    const rate = i % 3 === 2 ? 8000 : 16000;
    const length = rate / 31.25; // 32 ms
    const kind = ['voice', 'noise', 'voice', 'mixed', 'silence'][i % 5];
    const pitch = 90 + 160 * random();
    const formants = [300 + 500 * random(), 900 + 1400 * random(), 2300 + 800 * random()];
    const loudness = 0.02 + 0.5 * random();
    const data = new Float32Array(length);
    for (let t = 0; t < length; t++) {
      let x = 0;
      if (kind === 'voice' || kind === 'mixed') {
        for (let h = 1; h * pitch < rate / 2; h++) {
          const f = h * pitch * (1 + (0.05 * t) / length);
          const gain = formants.reduce((g, c) => g + Math.exp(-(((f - c) / 180) ** 2)), 0.02);
          x += (gain / h ** 0.5) * Math.sin((2 * Math.PI * f * t) / rate);
        }
      }
      if (kind !== 'voice') x += (kind === 'silence' ? 0.01 : 0.5) * normal();
      data[t] = loudness * x;
    }
    const memory = Float32Array.from({ length: 2 * 128 }, () => (i % 4 === 0 ? 0 : 0.3 * normal()));
    yield { id: `${kind} ${i} at ${rate} Hz`, feed: { input: { dims: [1, length], data }, state: { dims: [2, 1, 128], data: memory }, sr: { dims: [], data: BigInt64Array.of(BigInt(rate)) } } };
  }
}
