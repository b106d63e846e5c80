import { item } from '../../base/lists.js';
import { basename, dirname, resolve } from 'node:path';
import { fail, type Where } from '../../base/errors.js';
import type { Feed, FeedTensor, Target, ValueInfo } from '../../ir/feed.js';
import { readBytes, sha256 } from '../files.js';
import { isMessages, openChatTemplate, type Message } from '../language/chat.js';
import { isPlainText, readRows, type Choices } from '../language/rows.js';
import { sequenceFeeder, windowTarget } from '../language/sequence.js';
import { windowsOf } from '../language/windows.js';
import { rolesOf } from '../language/roles.js';
import { fitFeed } from '../feeds.js';
import { parseNpy } from '../npy.js';
import type { DataContext, ListedSource, Loaded, OpenSource } from '../source.js';
import type { DataSpec } from '../spec.js';
import { openTokenizer, type TextEncoder, type Tokens } from '../tokenize.js';

/**
 * `text:` — texts, chats or choices as token ids, with all that follows from them as the model takes it: masks,
 * positions, an empty past. Two texts give two feeds in one sample, unless `joint`, or an encoder takes the first. The
 * file is held in memory.
 */
export const openText: OpenSource = async (spec, inputs, context) => {
  const file = resolve(context.baseDir, spec.text ?? '.');
  const feeder = sequenceFeeder('text', inputs, spec.inputs);
  if (spec.joint && spec.fields?.length !== 2) fail('DATA_FORMAT', 'joint needs two fields', { file });
  if (spec.encoder !== undefined && spec.fields?.length !== 2)
    fail('DATA_FORMAT', 'encoder needs two fields: what it reads, and the text that the decoder gives', { file });
  const { fixed } = feeder;
  if (fixed !== undefined && (spec.padTo === 'none' || spec.padTo === 'longest'))
    fail(
      'DATA_SHAPE',
      `the model takes sequences of exactly ${fixed} tokens, so padTo ${spec.padTo} cannot hold`,
      {},
      'leave padTo out',
    );
  const rows = await readRows(file, spec);
  const tokenizerFile = resolve(context.baseDir, spec.tokenizer ?? '.');
  const tokenizer = await openTokenizer(tokenizerFile, fixed ?? spec.pack?.length ?? spec.maxLength);
  const chats = rows.some((r) => r.texts.some(isMessages))
    ? await openChatTemplate(
        tokenizerFile,
        spec.chatTemplate === undefined ? undefined : resolve(context.baseDir, spec.chatTemplate),
      )
    : undefined;
  const padTo = fixed === undefined ? (spec.padTo ?? 'none') : 'maxLength';
  const padded = padTo === 'maxLength' ? tokenizer.maxLength : 0;
  const name = basename(file);
  const written = (text: string | readonly Message[], where: Where): string =>
    typeof text === 'string' ? text : (chats?.render(text, where) ?? '');
  const special = (text: string | readonly Message[]): boolean => spec.special ?? typeof text === 'string';
  const encode = (text: string | readonly Message[], where: Where, pair?: string): Tokens =>
    tokenizer.encode(written(text, where), pair, special(text));
  const common = {
    ...(padTo === 'longest' ? { padding: paddingOf(inputs, tokenizer.padId) } : {}),
    vocabulary: tokenizer,
    details: {
      fields: spec.fields ?? null,
      joint: spec.joint ?? false,
      maxLength: tokenizer.maxLength,
      padTo,
      padId: tokenizer.padId,
      ...(isPlainText(file) ? { unit: spec.unit ?? 'paragraphs' } : {}),
      ...(spec.pack ? { pack: spec.pack } : {}),
      ...(chats ? { chatTemplate: true } : {}),
      ...(spec.encoder === undefined ? {} : { encoder: spec.encoder }),
    },
  };
  if (spec.pack) {
    const texts = rows.map((r) => r.texts[0] ?? '');
    const all = function* (): Generator<readonly number[]> {
      for (const [k, text] of texts.entries())
        yield tokenizer.ids(written(text, { file, line: item(rows, k).line }), special(text));
    };
    const windows = windowsOf(all(), spec.pack, spec.pack.join ? tokenizer.endId : undefined);
    const id = (i: number): string => {
      const { text, part } = item(windows, i);
      return `${name}:${item(rows, text).line}#${part}`;
    };
    return {
      ...common,
      kind: 'listed',
      count: windows.length,
      id,
      load: (i) => {
        const { ids, context: before } = item(windows, i);
        const where = { file, sample: id(i) };
        const target = windowTarget(ids, before, padded);
        return Promise.resolve({
          feeds: [feeder.feed({ ids }, tokenizer.padId, padded, where)],
          hash: sha256(Array.from(ids).join()),
          ...(target ? { target } : {}),
        });
      },
    } satisfies ListedSource;
  }
  const id = (i: number): string => `${name}:${item(rows, i).line}`;
  const encoder = spec.encoder === undefined ? undefined : await openEncoder(spec.encoder, tokenizer, file, context);
  const load = async (i: number): Promise<Loaded> => {
    const row = item(rows, i);
    const where = { file, line: row.line, sample: id(i) };
    const hash = sha256(row.texts.map((t) => (typeof t === 'string' ? t : JSON.stringify(t))).join('\0'));
    const first = row.texts[0] ?? '';
    const feed = (tokens: Tokens, encoded?: FeedTensor): Feed =>
      feeder.feed({ ...tokens, encoded }, tokenizer.padId, padded, where);
    if (row.choices) {
      const { feeds, starts } = choiceFeeds(written(first, where), row.choices, tokenizer, special(first), feed);
      return { feeds, hash, label: row.choices.answer, target: { starts } };
    }
    if (encoder) {
      const text = written(row.texts[1] ?? '', where);
      const { tokens, prompt } = decoderTokens(text, tokenizer, spec.decoderStart);
      const feeds = [feed(tokens, await encoder(written(first, where), where))];
      return { feeds, hash, target: { text: row.target ?? text, prompt } };
    }
    const second = row.texts[1];
    const encoded =
      spec.joint && second !== undefined
        ? [encode(first, where, written(second, where))]
        : row.texts.map((t) => encode(t, where));
    const target: Target | undefined = row.target === undefined ? undefined : { text: row.target };
    return {
      feeds: encoded.map((tokens) => feed(tokens)),
      hash,
      ...(spec.label === undefined ? {} : { label: score(row.label, spec.label, where) }),
      ...(target ? { target } : {}),
    };
  };
  return { ...common, kind: 'listed', count: rows.length, id, load };
};

/** What fills each input up to the longest of a batch. */
export const paddingOf = (inputs: readonly ValueInfo[], padId: number): Readonly<Record<string, number>> =>
  Object.fromEntries([...rolesOf(inputs)].filter(([, role]) => role === 'tokens').map(([name]) => [name, padId]));

/** A feed for each choice behind the text, and where the choice begins in it. */
function choiceFeeds(
  text: string,
  { choices }: Choices,
  tokenizer: TextEncoder,
  special: boolean,
  feed: (tokens: Tokens) => Feed,
): { readonly feeds: Feed[]; readonly starts: number[] } {
  const before = tokenizer.ids(text, special);
  const feeds: Feed[] = [];
  const starts: number[] = [];
  for (const choice of choices) {
    const joined = /\s$/.test(text) || /^\s/.test(choice) || text === '' ? `${text}${choice}` : `${text} ${choice}`;
    const whole = tokenizer.ids(joined, special);
    // tokens of the end of the text may merge with the choice: what differs belongs to it
    let start = 0;
    while (start < before.length && start < whole.length - 1 && before[start] === whole[start]) start++;
    const cut = Math.max(0, whole.length - tokenizer.maxLength);
    feeds.push(feed({ ids: whole.slice(cut), types: [] }));
    starts.push(Math.max(1, start - cut));
  }
  return { feeds, starts };
}

/** Tokens for a decoder: what it starts with, then the text. `prompt` counts those that are no text. */
function decoderTokens(
  text: string,
  tokenizer: TextEncoder,
  declared: DataSpec['decoderStart'],
): { readonly tokens: Tokens; readonly prompt: number } {
  const whole = tokenizer.encode(text).ids;
  const body = tokenizer.ids(text, false);
  const at = body.length
    ? whole.findIndex((_, i) => body.every((t, k) => whole[i + k] === t || i + k >= whole.length))
    : 0;
  const start = declared === undefined ? [tokenizer.startId] : typeof declared === 'number' ? [declared] : declared;
  const own = whole.slice(0, Math.max(0, at));
  const before = declared === undefined && own[0] === start[0] && own.length ? own : start;
  const ids = [...before, ...whole.slice(Math.max(0, at))];
  return { tokens: { ids, types: [] }, prompt: before.length };
}

/** Runs the encoder on a text, or on the features in an .npy file beside the data. */
async function openEncoder(
  path: string,
  tokenizer: TextEncoder,
  dataFile: string,
  context: DataContext,
): Promise<(given: string, where: Where) => Promise<FeedTensor>> {
  const file = resolve(context.baseDir, path);
  const model =
    (await context.openModel?.(file)) ??
    fail('DATA_MODULE', 'data with an encoder are read where models can be run', { file });
  const [output] = model.outputs;
  const [first] = model.inputs;
  if (!output || !first) return fail('MODEL_EMPTY', `${path} has no input or no output`, { file });
  const byText = rolesOf(model.inputs).size > 0;
  const feeder = byText ? sequenceFeeder('text', model.inputs) : undefined;
  return async (given, where) => {
    const feed = feeder
      ? feeder.feed(tokenizer.encode(given), tokenizer.padId, feeder.fixed ?? 0, where)
      : fitFeed(
          { [first.name]: parseNpy(await readBytes(resolve(dirname(dataFile), given), where.sample), where) },
          model.inputs,
          where,
          true,
        );
    const made = (await model.run(feed))[output.name];
    if (made?.dims.length !== 3)
      return fail('DATA_SHAPE', `output '${output.name}' of ${path} is no [batch, places, width]`, { ...where, file });
    return made;
  };
}

function score(text: string | undefined, field: string, where: Where): number {
  const value = text === undefined || text.trim() === '' ? NaN : Number(text);
  if (!Number.isFinite(value))
    fail(
      'DATA_LABEL',
      `${field} is ${text === undefined ? 'missing' : `'${text.slice(0, 60)}'`} in line ${where.line}; ` +
        'expected a number',
      where,
    );
  return value;
}
