// @ts-check
import { z } from 'quantbench';

const options = z.strictObject({ max: z.number().positive().describe('Bytes of flash that are left for the model.') });

/** @type {import('quantbench').GatePlugin<z.output<typeof options>>} */
const fitsFlash = {
  name: 'fitsFlash',
  doc: 'The quantized model, external data included, fits into the flash memory.',
  options,
  judge(run, _baseline, { max }) {
    const bytes = run.model.quantized?.bytes;
    if (bytes === undefined) return { verdict: 'fail', text: 'not measured: no model was made' };
    const verdict = bytes <= max ? 'pass' : 'fail';
    return { verdict, text: `the model has ${bytes} bytes; ${max} fit`, bound: 'max', limit: max, observed: bytes };
  },
};

export const gates = [fitsFlash];
