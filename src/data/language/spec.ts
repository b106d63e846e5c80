/** Keys of a data block that belong to language models. */
import { z } from 'zod';

const size = z.number().int().positive();
const path = z.string().min(1);

export const languageFields = {
  unit: z
    .enum(['paragraphs', 'lines', 'file'])
    .describe('What a text is in a plain text file: what blank lines part, a line, or all of it. Default: paragraphs.')
    .optional(),
  chatTemplate: path
    .describe(
      'Jinja template that writes chat messages as text. Default: chat_template.jinja beside the tokenizer, else ' +
        'that of its tokenizer_config.json.',
    )
    .optional(),
  special: z
    .boolean()
    .describe(
      'Whether the special tokens of the tokenizer are added, such as one that begins a text. Default: true, but ' +
        'for chats, whose template writes them.',
    )
    .optional(),
  pack: z
    .preprocess(
      (v) => (typeof v === 'number' ? { length: v } : v),
      z
        .strictObject({
          length: size.min(2).describe('Tokens of a window.'),
          stride: size
            .describe(
              'Tokens from one window to the next. With fewer than length, the rest of a window is context, whose ' +
                'tokens perplexity counts in the window before. Default: length.',
            )
            .optional(),
          join: z
            .boolean()
            .default(true)
            .describe('Joins all texts to one sequence, parted by the token that ends a text; false cuts each.'),
        })
        .refine((p) => (p.stride ?? 1) <= p.length, { message: 'stride is at most length', path: ['stride'] })
        .transform((p) => ({ ...p, stride: p.stride ?? p.length })),
    )
    .describe(
      'Cuts long texts into windows of so many tokens: a length, or { length, stride, join }. Without it a text is ' +
        'a sample, cut at maxLength.',
    )
    .optional(),
  choices: z
    .preprocess(
      (v) => (v === true ? {} : v),
      z.strictObject({
        choices: z.string().min(1).default('choices').describe('JSON field of the list of texts.'),
        answer: z.string().min(1).default('answer').describe('JSON field of the right one.'),
      }),
    )
    .describe(
      'Questions with choices, for the metric choices: true, or the fields of the list and of the right one (a ' +
        'position from 0, a letter from A, or its text). fields names the text before them; default: prompt.',
    )
    .optional(),
  encoder: path
    .describe(
      'Encoder of an encoder–decoder pair whose decoder is the model: it reads the first of two fields, a text or ' +
        'the name of an .npy file of features, and what it gives is fed to the decoder. The second is its text.',
    )
    .optional(),
  decoderStart: z
    .union([z.number().int().min(0), z.array(z.number().int().min(0)).min(1)])
    .describe(
      'Token ids that a decoder starts with. Default: those that the tokenizer puts before a text, else ' +
        'decoder_start_token_id of config.json, else the token that begins a text.',
    )
    .optional(),
  inputs: z
    .record(
      z.string(),
      z.union([
        z.number(),
        z.boolean(),
        z.strictObject({
          shape: z.array(z.number().int().min(0)).max(8).describe('With the batch axis of 1.').optional(),
          fill: z.union([z.number(), z.boolean()]).describe('The value of all elements.'),
        }),
      ]),
    )
    .describe(
      'Inputs by hand, over what is filled in: a number, true or false fills the tensor, { shape, fill } says its ' +
        'shape too.',
    )
    .optional(),
};
