/**
 * Limits as people write them, with their units. Schemas check and keep the text; the functions here give the numbers.
 */
import { z } from 'zod';

const NUMBER = String.raw`(?:\d+(?:\.\d+)?|\.\d+)`;
const amountOf = (text: string): number => Number(/[\d.]+/.exec(text)?.[0]);

const MARGIN = new RegExp(String.raw`^\s*${NUMBER}\s*(?:points?|%(?:\s*relative)?)?\s*$`, 'i');
/** A drop that is allowed. */
export const marginSpec = z.union([
  z.number().min(0),
  z
    .string()
    .regex(
      MARGIN,
      'expected 0.5 points or 0.5% (the same, for metrics in %), 1% relative (of the value before), or a ' +
        'number for metrics of another unit',
    ),
]);
export type Margin = z.output<typeof marginSpec>;

/**
 * The allowed drop in the metric's unit (points, where that is %), or why the text does not fit the metric. `before` is
 * the value that a relative margin is a part of.
 */
export function marginOf(
  margin: Margin,
  metric: { readonly name: string; readonly unit: string },
  before: number,
): number | string {
  const text = String(margin);
  const amount = typeof margin === 'number' ? margin : amountOf(margin);
  if (/relative/i.test(text)) return (amount / 100) * Math.abs(before);
  const unit = /[%p]/i.test(text);
  if (metric.unit === '%')
    return unit
      ? amount
      : `the limit "${text}" has no unit, and ${metric.name} is in %: write "${text} points" or "${text}% relative"`;
  return unit
    ? `the limit "${text}" is for metrics in %, but the unit of ${metric.name} is ${metric.unit}: write a number ` +
        `such as 0.01, or "1% relative"`
    : amount;
}

/** By how much perplexity may rise, as a margin: a percentage is of the value before, which has no points. */
export const increaseOf = (text: string): string => (/%\s*$/.test(text) ? `${text.trim()} relative` : text);

/** A ratio to what it is compared with. */
export const ratioSpec = z.union([
  z.number().positive(),
  z
    .string()
    .regex(new RegExp(String.raw`^\s*${NUMBER}\s*[x×%]?\s*$`, 'i'), 'expected a ratio such as 0.8, 0.8x or 80%')
    .refine((text) => amountOf(text) > 0, 'a ratio is above 0'),
]);
export const ratioOf = (ratio: z.output<typeof ratioSpec>): number =>
  typeof ratio === 'number' ? ratio : amountOf(ratio) / (ratio.includes('%') ? 100 : 1);

/** A share of all, 0…1. */
export const shareSpec = z.union([
  z.number().min(0).max(1),
  z
    .string()
    .regex(new RegExp(String.raw`^\s*${NUMBER}\s*%?\s*$`), 'expected a share such as 99% or 0.99')
    .refine((text) => ratioOf(text) <= 1, 'a share is at most 1: write 99% or 0.99'),
]);

/** The value that a metric must reach, in its unit. */
export const valueSpec = z.union([
  z.number(),
  z
    .string()
    .regex(
      new RegExp(String.raw`^\s*-?${NUMBER}\s*%?\s*$`),
      'expected 97% for metrics in %, or a number for metrics of another unit',
    ),
]);
export function valueOf(
  value: z.output<typeof valueSpec>,
  metric: { readonly name: string; readonly unit: string },
): number | string {
  const text = String(value);
  if ((metric.unit === '%') !== text.includes('%'))
    return metric.unit === '%'
      ? `the limit "${text}" has no unit, and ${metric.name} is in %: write "${text}%"`
      : `the limit "${text}" is in %, but the unit of ${metric.name} is ${metric.unit}: write a number`;
  return Number(text.replace('%', ''));
}

/** Decibels. */
export const decibelSpec = z.union([
  z.number(),
  z.string().regex(new RegExp(String.raw`^\s*${NUMBER}\s*dB\s*$`, 'i'), 'expected decibels such as 20 dB'),
]);
export const decibelsOf = (value: z.output<typeof decibelSpec>): number =>
  typeof value === 'number' ? value : amountOf(value);

/** Confidence of the two-sided intervals, given as a number. */
export const confidenceSpec = z
  .union([
    z.number(),
    z
      .string()
      .regex(new RegExp(String.raw`^\s*${NUMBER}\s*%?\s*$`), 'expected a confidence such as 95%')
      .transform(ratioOf),
  ])
  .refine((c) => c >= 0.5 && c < 1, 'a confidence is at least 50% and below 100%: write 95% or 0.95');
