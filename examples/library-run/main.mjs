// @ts-check
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { optimizeFile, parseModel, readRun, resolveRecipe, runRecipe, saveModel } from 'quantbench';

/** A model as ONNX text. The weight has no data here: it gets random ones. Exporters leave such pairs of Transpose. */
const TEXT = `
<ir_version: 8, opset_import: ["" : 17]>
layer (float[N, 64] x) => (float[N, 32] y) <float[64, 32] W>
{
  product = MatMul(x, W)
  turned = Transpose<perm = [1, 0]>(product)
  back = Transpose<perm = [1, 0]>(turned)
  y = Relu(back)
}`;

/**
 * Makes a model, optimizes it, quantizes it with ranges that are measured at run time, and reads the record.
 * @param {string} outDir
 */
export async function main(outDir) {
  mkdirSync(outDir, { recursive: true });
  const file = path.join(outDir, 'float.onnx');
  saveModel(parseModel(TEXT, { randomInitializers: 1 }), file);

  const smaller = path.join(outDir, 'optimized.onnx');
  const { nodes, agreement } = await optimizeFile(file, smaller, { level: 'default' });

  const recipe = await resolveRecipe(
    {
      version: 1,
      model: 'optimized.onnx',
      quantize: { format: 'dynamic' },
      evaluation: { latency: false, layers: false, profile: false },
    },
    { baseDir: outDir, name: 'library-run' },
  );
  /** @type {string[]} */
  const stages = [];
  await runRecipe({
    recipe,
    outDir: path.join(outDir, 'run'),
    onEvent: (event) => {
      if (event.type === 'stage-end') stages.push(event.stage);
    },
  });
  const { model } = readRun(path.join(outDir, 'run'));
  return { nodes, agreement, stages, bytes: { float: model.float.bytes, quantized: model.quantized?.bytes ?? 0 } };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { nodes, agreement, stages, bytes } = await main('reports/examples/library-run');
  console.log(`${nodes.before} → ${nodes.after} nodes, outputs equal on ${agreement.feeds} random inputs`);
  console.log(`${stages.join(', ')}: ${bytes.float} → ${bytes.quantized} bytes`);
}
