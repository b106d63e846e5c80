/** What libraries of language models call the files of a model, by the type of its weights. */
import { z } from 'zod';

export const LAYOUTS = ['huggingface', 'transformers.js', 'onnxruntime-genai'] as const;
export type Layout = (typeof LAYOUTS)[number];

/** Whether a folder holds models of several types. */
export const holdsSeveral = (layout: Layout): boolean => layout !== 'onnxruntime-genai';

/** Suffixes of model files. source: DEFAULT_DTYPE_SUFFIX_MAPPING of https://github.com/huggingface/transformers.js */
const SUFFIXES: Readonly<Record<string, string>> = { fp32: '', q8: '_quantized' };

/** The model file of a type, relative to the folder. */
export const fileOf = (layout: Layout, dtype: string): string =>
  holdsSeveral(layout) ? `onnx/model${SUFFIXES[dtype] ?? `_${dtype}`}.onnx` : 'model.onnx';

/**
 * The data files of a model file, by number: the names that transformers.js asks for, and those that
 * onnxruntime-genai's own builder gives. source: getExternalDataChunkNames of
 * https://github.com/huggingface/transformers.js
 */
export const dataFileOf = (layout: Layout, model: string, index: number): string => {
  const more = index ? `_${index}` : '';
  return holdsSeveral(layout) ? `${model}_data${more}` : `${model}.data${more}`;
};

const resolvedSpec = z.object({
  quantize: z.object({
    format: z.string(),
    coding: z.object({ name: z.string() }).optional(),
    weights: z.object({ dtype: z.string().optional(), bits: z.number().optional() }),
  }),
});
const FLOATS: Readonly<Record<string, string>> = { float: 'fp32', float16: 'fp16', bfloat16: 'bf16' };

/**
 * The type of a run's weights by the names of transformers.js (q4, q8, fp16), from its resolved recipe; a width that it
 * has no name for is named alike.
 */
export function dtypeOf(resolved: unknown): string {
  const found = resolvedSpec.safeParse(resolved);
  if (!found.success) return 'q8';
  const { format, weights, coding } = found.data.quantize;
  const float = FLOATS[format === 'coded' ? (coding?.name ?? '') : format];
  if (float !== undefined) return float;
  if (format === 'coded') return (coding?.name ?? 'coded').replace(/[^\w]+/g, '-');
  return `q${weights.bits ?? Number(/\d+$/.exec(weights.dtype ?? 'int8')?.[0] ?? 8)}`;
}
