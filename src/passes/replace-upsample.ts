import { allGraphs } from '../ir/model.js';
import type { Pass } from '../rewrite/pass.js';
import { raiseOpset } from './raise-opset.js';

/** Opset 10 deprecates Upsample; 11 fixes where Resize takes its samples from. */
const RESIZE_OPSET = 11;

/**
 * Raises models of opset 7 to 9 that hold Upsample to 11, where it is Resize with asymmetric coordinates that round
 * down.
 */
export const replaceUpsample = {
  name: 'replace-upsample',
  doc: 'Replaces the deprecated Upsample by Resize.',
  numerics: 'exact',
  run(ctx) {
    const found = [...allGraphs(ctx.model.graph)].some((g) =>
      [...g.nodes].some((n) => n.op === 'Upsample' && n.domain === ''),
    );
    return { changes: found && raiseOpset(ctx, RESIZE_OPSET) ? 1 : 0 };
  },
} satisfies Pass;
