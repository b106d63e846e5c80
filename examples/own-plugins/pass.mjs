// @ts-check

/**
 * Relu(Relu(x)) is Relu(x). One operator a line, the root last; `w?` may be left out, `k!` is a constant.
 * @type {import('quantbench').RewriteRule}
 */
const mergeRelus = {
  name: 'merge-relus',
  doc: 'Makes one Relu of two in a row.',
  numerics: 'exact',
  pattern: `
    inner = Relu(x)
    y = Relu(inner)`,
  rewrite: (match, build) => build.op('Relu', [match.value('x')]),
};

/**
 * What a pattern cannot say is a pass with a `run`. It gives how often it changed something: 0 ends the rounds.
 * @type {import('quantbench').Pass}
 */
const forgetDocs = {
  name: 'forget-docs',
  doc: 'Takes away the texts that exporters leave in the model.',
  numerics: 'exact',
  run({ model }) {
    const changes = model.metadata.size;
    model.metadata.clear();
    return { changes };
  },
};

export const passes = [mergeRelus, forgetDocs];
