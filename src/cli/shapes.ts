/** The option --input-shape. */
import { fail } from '../base/errors.js';
import type { Shape } from '../ir/graph.js';

/** Shapes by input. Throws USAGE for what is no shape, and for inputs that the model does not have. */
export function shapesOf(given: readonly string[], names: readonly string[]): Map<string, Shape> {
  return new Map(
    given.map((text): [string, Shape] => {
      const match = /^(.*)=(\d+(?:x\d+)*)$/.exec(text);
      const [, name = '', sizes = ''] = match ?? [];
      if (!match) fail('USAGE', `"${text}" is not an input shape`, {}, '--input-shape x=1x3x224x224');
      if (!names.includes(name)) fail('USAGE', `"${name}" is not an input`, {}, `inputs: ${names.join(', ')}`);
      return [name, sizes.split('x').map(Number)];
    }),
  );
}
