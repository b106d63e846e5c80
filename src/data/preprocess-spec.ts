/** The `preprocess:` block of a recipe. Docs and the JSON Schema are generated from the descriptions. */
import { z } from 'zod';

const size = z.number().int().positive();
const perChannel = z.union([z.number(), z.array(z.number()).min(1).max(4)]);
/** `1/255` stays a fraction, because x / 255 and x · 0.0039… differ in the last bit of float32. */
const fraction = z
  .string()
  .regex(/^\s*\d+(\.\d+)?\s*\/\s*\d+(\.\d+)?\s*$/, 'expected a number or a fraction such as 1/255');

/** linear, cubic, lanczos3 and area are PIL's BILINEAR, BICUBIC, LANCZOS and BOX. */
export const INTERPOLATIONS = ['nearest', 'linear', 'area', 'cubic', 'mitchell', 'lanczos2', 'lanczos3'] as const;
export const IMAGE_DTYPES = ['float32', 'float16', 'float64', 'uint8', 'int8', 'int16', 'int32', 'int64'] as const;

export const preprocessSpec = z.strictObject({
  resize: z
    .strictObject({
      height: size.describe('Height in pixels; needs width. The aspect ratio is not kept.').optional(),
      width: size.describe('Width in pixels; needs height.').optional(),
      shortest: size
        .describe('Length in pixels of the shorter side; the longer side follows the aspect ratio, rounded down.')
        .optional(),
      longest: size
        .describe(
          'Length in pixels of the longer side; the shorter side follows the aspect ratio, rounded down. Use ' +
            'with pad for letterboxing.',
        )
        .optional(),
      interpolation: z
        .enum(INTERPOLATIONS)
        .default('linear')
        .describe(
          'Resampling kernel, antialiased when shrinking, equal to PIL bit for bit: linear is BILINEAR, cubic ' +
            'BICUBIC, lanczos3 LANCZOS, area BOX.',
        ),
    })
    .refine(
      (r) =>
        (r.height !== undefined && r.width !== undefined ? 1 : 0) +
          (r.shortest !== undefined ? 1 : 0) +
          (r.longest !== undefined ? 1 : 0) ===
          1 && (r.height === undefined) === (r.width === undefined),
      'give height and width, or shortest, or longest',
    )
    .describe('Resizes the decoded image. Without it, images must already have the size of the model input.')
    .optional(),
  crop: z
    .strictObject({ height: size.describe('Height in pixels.'), width: size.describe('Width in pixels.') })
    .describe('Cuts this size from the centre, after resize.')
    .optional(),
  pad: z
    .strictObject({
      height: size.describe('Height in pixels.'),
      width: size.describe('Width in pixels.'),
      value: z
        .number()
        .int()
        .min(0)
        .max(255)
        .default(0)
        .describe('Value of the border pixels, 0 to 255, before scale and mean.'),
      position: z.enum(['center', 'top-left']).default('center').describe('Where the image lies in the padded area.'),
    })
    .describe('Pads to this size, after crop.')
    .optional(),
  colour: z
    .enum(['RGB', 'BGR', 'gray'])
    .describe(
      'Channels and their order. Default: gray where the model input has one channel, else RGB. gray is ITU-R ' +
        '601 luma, as PIL computes it.',
    )
    .optional(),
  scale: z
    .union([z.number(), fraction])
    .describe('Multiplies each pixel value (0 to 255); a fraction such as 1/255 divides. Default: 1.')
    .optional(),
  mean: perChannel
    .describe('Subtracted after scale: one number, or one per channel in the order of colour.')
    .optional(),
  std: perChannel
    .refine((s) => (Array.isArray(s) ? s : [s]).every((v) => v > 0), 'std must be above 0')
    .describe('Divides after mean: one number, or one per channel in the order of colour.')
    .optional(),
  layout: z.enum(['NCHW', 'NHWC']).describe('Axis order of the model input. Default: read from its shape.').optional(),
  dtype: z
    .enum(IMAGE_DTYPES)
    .describe(
      'Element type of the model input. Default: read from the model; needed only where the model does not tell.',
    )
    .optional(),
});
export type PreprocessSpec = z.output<typeof preprocessSpec>;
