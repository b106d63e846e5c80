import path from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderCompareHtml } from '../../src/report/index.js';
import { makeComparison } from '../rooms/report/compare-record.js';
import { CHROMIUM, folder, launch, open, SCHEMES, sideways, SKIPPED, WIDTHS } from './browser.js';

describe.skipIf(CHROMIUM === undefined)(`compare.html in Chromium (${SKIPPED})`, () => {
  let browser: Browser;
  let dir = '';
  beforeAll(async () => {
    dir = folder('compare');
    browser = await launch();
  });
  afterAll(() => browser.close());

  it.each(SCHEMES.flatMap((scheme) => WIDTHS.map((width) => ({ scheme, width }))))(
    'fits $width px in $scheme, without complaint or request',
    async ({ scheme, width }) => {
      const { page, complaints } = await open(browser, dir, renderCompareHtml(makeComparison()), { scheme, width });
      expect(await sideways(page)).toBeLessThanOrEqual(0);
      await page.screenshot({ path: path.join(dir, `compare-${scheme}-${width}.png`), fullPage: true });
      expect(complaints).toEqual([]);
      await page.close();
    },
  );

  it('labels dots by name, by letters where it is narrow, and no label hides another', async () => {
    for (const width of WIDTHS) {
      const { page } = await open(browser, dir, renderCompareHtml(makeComparison()), { width });
      const boxes = await page
        .locator('.scatter text.wide-only:visible, .scatter text.narrow-only:visible')
        .evaluateAll((all) =>
          all.map((e) => {
            const {
              x,
              y,
              width: w,
              height: h,
            } = (
              e as unknown as { getBoundingClientRect(): { x: number; y: number; width: number; height: number } }
            ).getBoundingClientRect();
            return { x, y, w, h, text: (e as unknown as { textContent: string }).textContent };
          }),
        ); // runs in the page, whose types Node does not have
      expect(boxes.map((b) => b.text)).toEqual(
        width > 700
          ? ['int8-kl', 'int8-minmax', 'int8-percentile', 'int8-mse', 'int8-dynamic']
          : ['A', 'B', 'C', 'D', 'E'],
      );
      for (const b of boxes) expect(b.x >= 0 && b.x + b.w <= width).toBe(true);
      // Letters of runs that lie on each other may touch; names may not.
      if (width > 700)
        for (const a of boxes)
          for (const b of boxes)
            if (a !== b)
              expect(a.x + a.w <= b.x + 1 || b.x + b.w <= a.x + 1 || a.y + a.h <= b.y + 4 || b.y + b.h <= a.y + 4).toBe(
                true,
              );
      await page.close();
    }
  });

  it('sorts, with failed runs last where more is better', async () => {
    const { page } = await open(browser, dir, renderCompareHtml(makeComparison()));
    await page.locator('thead button', { hasText: 'against float' }).click();
    const labels = await page.locator('tbody th bdi').allTextContents();
    expect([labels[0], labels.at(-1)]).toEqual(['int8-minmax', 'int4-kl']);
    await page.close();
  });
});
