import path from 'node:path';
import { configDefaults, defineConfig, type Plugin, type ViteUserConfig } from 'vitest/config';

const here = import.meta.dirname;
const src = path.join(here, 'src');
const dist = path.join(here, 'dist');

/**
 * Tests name the sources and get what dist holds of them, which test/setup.ts brings up to date: that is what users run,
 * and Node loads it five times faster than vitest does. examples/ import the package by its name.
 */
const built: Plugin = {
  name: 'dist for src',
  enforce: 'pre',
  resolveId(id, importer) {
    if (id === 'quantbench') return { id: path.join(dist, 'index.js'), external: true };
    if (!importer || !id.startsWith('.')) return undefined;
    const within = path.relative(src, path.resolve(path.dirname(importer), id));
    return within.startsWith('..')
      ? undefined
      : { id: path.join(dist, within.replace(/\.ts$/, '.js')), external: true };
  },
};

/** What all lanes of tests share. Each adds what it includes. */
export const shared = {
  plugins: [built],
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    globalSetup: 'test/setup.ts',
    forceRerunTriggers: [...configDefaults.forceRerunTriggers, `${src}/**`],
    server: { deps: { external: [/\/dist\/.*\.js$/] } },
    pool: 'forks', // onnxruntime's native sessions are not in the process that reports, and a crash names its file
    // Files of a process share what they import. Tests wait for files and processes a quarter of their time: a third
    // process has work for two cores then.
    poolOptions: { forks: { minForks: 3, maxForks: 3, isolate: false } },
    isolate: false,
  },
} satisfies ViteUserConfig;

export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    include: ['test/**/*.test.ts'],
    exclude: ['test/{models,browser,whole}/**', 'node_modules/**'],
  },
});
