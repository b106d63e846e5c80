import { item } from '../../base/lists.js';
import { basename, join, resolve } from 'node:path';
import { fail } from '../../base/errors.js';
import type { FeedTensor } from '../../ir/feed.js';
import { fitFeed } from '../feeds.js';
import { fileSize, listFolder, readBytes, sha256 } from '../files.js';
import type { OpenSource } from '../source.js';

/** A tensor of so many bytes is read to look at it. */
const SMALL = 2 ** 20;

/**
 * `testData:` — folders test_data_set_N with input_0.pb, input_1.pb …, serialized TensorProtos in the order of the
 * model inputs, whole batches. Source: https://github.com/onnx/onnx/blob/main/docs/OnnxBackendTest.md
 */
export const openTestData: OpenSource = async (spec, inputs, context) => {
  const root = resolve(context.baseDir, spec.testData ?? '.');
  const decode = context.decodeTensor ?? fail('INTERNAL', 'testData needs a tensor decoder');
  const listing = await listFolder(root);
  const sets = listing.files.some((f) => /^input_\d+\.pb$/.test(f))
    ? ['']
    : listing.folders
        .filter((f) => /^test_data_set_\d+$/.test(f))
        .sort((a, b) => Number(a.slice(14)) - Number(b.slice(14)));
  if (!sets.length) fail('DATA_MISSING', `${root} holds no test_data_set_* folder and no input_*.pb`, { file: root });
  return {
    kind: 'listed',
    count: sets.length,
    id: (i) => sets[i] || basename(root),
    seemsFine: async (i) => {
      const sizes = await Promise.all(inputs.map((_, k) => fileSize(join(root, item(sets, i), `input_${k}.pb`))));
      return sizes.every((size) => size > SMALL); // small ones are read
    },
    load: async (i) => {
      const folder = join(root, item(sets, i));
      const sample = sets[i] || basename(root);
      const parts: Uint8Array[] = [];
      const feed: Record<string, FeedTensor> = {};
      for (const [k, input] of inputs.entries()) {
        const file = join(folder, `input_${k}.pb`);
        const bytes = await readBytes(file, sample);
        parts.push(bytes);
        try {
          feed[input.name] = decode(bytes);
        } catch (cause) {
          fail(
            'DATA_FORMAT',
            `${file} is not a TensorProto: ${cause instanceof Error ? cause.message : String(cause)}`,
            { file, sample, tensor: input.name },
            undefined,
            cause,
          );
        }
      }
      return { feeds: [fitFeed(feed, inputs, { file: folder, sample }, false)], hash: sha256(...parts) };
    },
    details: { sets: sets.length },
  };
};
