/** Errors for people: place, code, what is wrong, the excerpt, what would be right. */
import { placeOf } from '../base/findings.js';
import { QuantError } from '../base/errors.js';
import { oneLine, printable } from '../base/text.js';
import { paint } from './terminal.js';

/** Lines for stderr. Anything but a QuantError is a bug of ours and says so; its stack is shown with `debug`. */
export function renderError(error: unknown, options: { readonly colour: boolean; readonly debug: boolean }): string {
  const p = paint(options);
  if (!(error instanceof QuantError) || error.code === 'INTERNAL') {
    const message = error instanceof Error ? error.message : String(error);
    const stack = options.debug && error instanceof Error && error.stack ? `\n${printable(error.stack)}` : '';
    return (
      `${p.red('INTERNAL')}  ${oneLine(message)}\n` +
      '   this is a bug in quantbench; please report it with the command and ' +
      `${options.debug ? 'the lines below' : 'what --debug prints'}${stack}`
    );
  }
  return [error, ...error.more]
    .map((e) => {
      const place = placeOf(e.where);
      const head = `${place ? `${p.bold(oneLine(place))} ` : ''}${p.red(e.code)}  ${oneLine(e.message)}`;
      const excerpt = e.excerpt === undefined ? [] : [printable(e.excerpt)];
      const hint = e.hint === undefined ? [] : e.hint.split('\n').map((line) => `   ${printable(line)}`);
      const stack =
        options.debug && e.stack
          ? [
              printable(e.stack),
              ...(e.cause instanceof Error && e.cause.stack ? [`caused by ${printable(e.cause.stack)}`] : []),
            ]
          : [];
      return [head, ...excerpt, ...hint, ...stack].join('\n');
    })
    .join('\n\n');
}
