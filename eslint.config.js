import tseslint from 'typescript-eslint';

/** Rules that ask the types: of what is awaited, of `any` that came in, and of assertions that say nothing. */
const typed = [
  'await-thenable',
  'no-floating-promises',
  'no-misused-promises',
  'no-unnecessary-condition',
  'no-unnecessary-type-assertion',
  'no-unsafe-argument',
  'no-unsafe-assignment',
  'no-unsafe-call',
  'no-unsafe-member-access',
  'no-unsafe-return',
];

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', 'src/onnx/proto.*', 'reports/**'] },
  ...tseslint.configs.recommended,
  {
    files: ['**/*.ts'],
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': 'error',
      'no-restricted-syntax': ['error', { selector: 'ExportDefaultDeclaration', message: 'Named exports only.' }],
      eqeqeq: 'error',
    },
  },
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts'],
    languageOptions: {
      // As `npm run types` checks them; the nearest tsconfig.json knows src/ alone.
      parserOptions: { project: './tsconfig.check.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: Object.fromEntries(typed.map((rule) => [`@typescript-eslint/${rule}`, 'error'])),
  },
  {
    // The test runner's matchers, such as expect.objectContaining(), are declared as `any`; and tests look for what
    // types rule out.
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
    },
  },
  { files: ['*.config.ts', 'eslint.config.js'], rules: { 'no-restricted-syntax': 'off' } },
);
