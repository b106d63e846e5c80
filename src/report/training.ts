/** Training in words and tables: a part of report.md, and the report of `quantize train`. */
import type { FittedFacts, TrainingFacts } from '../record/index.js';
import { section, table, text } from './markdown/parts.js';
import { bytes, count, fixed, many, real } from './text.js';

/** Points of a curve that Markdown shows. */
const POINTS = 9;

/** The report of a training alone. */
export function renderTraining(facts: TrainingFacts, title: string): string {
  const said = scoreSentence(facts);
  return `${[`# ${text(title)}`, ...(said === undefined ? [] : [`**${text(said)}**`]), trainingText(facts)].join('\n\n')}\n`;
}

/** Tables: what was trained, what it scores, and how the loss went. */
export function trainingText(facts: TrainingFacts): string {
  const { fitted, scores, student } = facts;
  const metrics = scores[0]?.metrics ?? [];
  const made = student
    ? `Student: ${student.made.join(', ')}; ${count(student.parameters.student)} of ` +
      `${count(student.parameters.teacher)} parameters.`
    : '';
  return [
    text(made),
    table(
      [
        'trained',
        'weights',
        'samples',
        'held back',
        'batch',
        'epochs',
        'steps',
        'last loss',
        'best held-back',
        's',
        'memory',
      ],
      fitted.map((f) => [
        f.name,
        count(f.parameters),
        count(f.learned),
        count(f.judged),
        count(f.batch),
        count(f.epochs),
        `${count(f.steps)}${f.ended === 'patience' ? ' (no better any more)' : ''}`,
        real(f.curve.at(-1)?.loss),
        f.best ? `${text(f.best.metric)} ${real(f.best.value)} at ${count(f.best.step)}` : '–',
        fixed(f.seconds, 0),
        bytes(f.peakBytes),
      ]),
    ),
    table(
      ['float model', ...metrics.map((m) => text(m.name))],
      scores.map((s) => [NAMES[s.name], ...s.metrics.map((m) => `${fixed(m.value, 2)} ${text(m.unit)}`)]),
    ),
    ...fitted.map((f) =>
      section(
        `Curve of the ${CALLED[f.name]}`,
        table(
          ['step', 'loss', 'rate', 'held-back'],
          thinned(f.curve).map((p) => [
            count(p.step),
            real(p.loss),
            real(p.rate),
            p.metric === undefined ? '' : real(p.metric),
          ]),
        ),
      ),
    ),
  ]
    .filter(Boolean)
    .join('\n\n');
}

/** What was trained. */
export const CALLED: Readonly<Record<FittedFacts['name'], string>> = {
  model: 'model',
  student: 'student',
  teacher: 'teacher',
  quantized: 'quantized model',
  control: 'control',
};
/** What scores are of. */
export const NAMES: Readonly<Record<TrainingFacts['scores'][number]['name'], string>> = {
  before: 'as in the file',
  teacher: 'the teacher',
  start: 'the student before training',
  trained: 'trained',
  control: 'the control, trained the same way',
};

/** Such as: Training took top1 from 80.45 to 87.20 %. Undefined where nothing was scored. */
export function scoreSentence({ scores, fitted }: TrainingFacts): string | undefined {
  const of = (name: TrainingFacts['scores'][number]['name']) => scores.find((s) => s.name === name)?.metrics[0];
  const [after, before, control] = [of('trained'), of('before'), of('control')];
  const total = fitted.reduce((n, f) => n + f.seconds, 0);
  if (!after)
    return (
      control &&
      `The float model, trained the same way, has ${control.name} ${fixed(control.value, 2)} ${control.unit}` +
        `${before ? ` (${fixed(before.value, 2)} as in the file)` : ''}: hold the quantized model against that.`
    );
  const unit = after.unit === '%' ? 'points' : after.unit;
  const beside = control
    ? `, ${fixed(Math.abs(after.value - control.value), 2)} ${unit} ` +
      `${after.value >= control.value ? 'above' : 'below'} the same model trained without the teacher`
    : '';
  const was = before ? ` (${fixed(before.value, 2)} as in the file)` : '';
  return `Trained for ${many(Math.round(total), 'second')}, the float model has ${after.name} ${fixed(after.value, 2)} ${after.unit}${was}${beside}.`;
}

function thinned(curve: FittedFacts['curve']): FittedFacts['curve'] {
  const stride = Math.max(1, (curve.length - 1) / (POINTS - 1));
  const places = new Set(Array.from({ length: POINTS }, (_, i) => Math.round(i * stride)));
  return curve.filter((_, i) => places.has(i));
}
