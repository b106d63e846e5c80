/** A real Chromium for tests, where one is installed. */
import { accessSync, constants, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';

/** Path of a Chromium on PATH, or undefined. */
export const CHROMIUM = (process.env.PATH ?? '')
  .split(path.delimiter)
  .flatMap((folder) => ['chromium', 'chromium-browser', 'google-chrome'].map((name) => path.join(folder, name)))
  .find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

export const SKIPPED = 'skipped where neither chromium, chromium-browser nor google-chrome is on PATH';
export const SCHEMES = ['light', 'dark'] as const;
export const WIDTHS = [1280, 400] as const;

export const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: CHROMIUM ?? '',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });

/** Files and screenshots of a test run; the path is printed, so that people can look. */
export const folder = (name: string): string => mkdtempSync(path.join(tmpdir(), `quantbench-${name}-`));

export interface Opened {
  readonly page: Page;
  /** What the page complained of, and what it asked for beyond itself. */ readonly complaints: string[];
}

/** Opens HTML from disk, as a user does. `before` runs in the page before anything of it. */
export async function open(
  browser: Browser,
  dir: string,
  html: string,
  o: { width?: number; scheme?: 'light' | 'dark'; before?: () => void } = {},
): Promise<Opened> {
  const file = path.join(dir, 'page.html');
  writeFileSync(file, html);
  const page = await browser.newPage({
    viewport: { width: o.width ?? 1280, height: 900 },
    colorScheme: o.scheme ?? 'light',
  });
  const complaints: string[] = [];
  const url = pathToFileURL(file).href;
  page.on('console', (m) => complaints.push(m.text()));
  page.on('pageerror', (e) => complaints.push(e.message));
  page.on('request', (r) => {
    if (!r.url().startsWith(url) && !r.url().startsWith('data:image/png;')) complaints.push(`request of ${r.url()}`);
  });
  if (o.before) await page.addInitScript(o.before);
  await page.goto(url);
  return { page, complaints };
}

/** Pixels by which the page is wider than the window. */
export const sideways = (page: Page): Promise<number> =>
  page.evaluate('document.documentElement.scrollWidth - innerWidth');
