/** Chat messages as text, by the Jinja template that a model's tokenizer comes with. */
import { dirname, join } from 'node:path';
import * as jinja from '@huggingface/jinja';
import { fail, QuantError, type Where } from '../../base/errors.js';
import { readText } from '../files.js';
import { readConfig, tokenNamed } from '../tokenize.js';

/** One message; further keys, such as tool_calls, are the template's own. */
export interface Message {
  readonly role: string;
  readonly content?: unknown;
  readonly [key: string]: unknown;
}
export interface ChatTemplate {
  /** The messages as one text, special tokens written out. Throws DATA_FORMAT where the template refuses them. */
  render(messages: readonly Message[], where: Where): string;
}

/** What is used of the library: its own types import files without their extension, which leaves them unresolved. */
interface Environment {
  set(name: string, value: unknown): unknown;
}
interface Library {
  readonly Template: new (template: string) => { readonly parsed: unknown };
  readonly Environment: new () => Environment;
  readonly Interpreter: new (env: Environment) => {
    run(program: unknown): { readonly value: unknown };
    evaluate(statement: unknown, environment: unknown): unknown;
  };
}
const library = jinja as unknown as Library;

/** So many parts of a template are evaluated for one text: a file may hold loops in loops. */
const MOST_STEPS = 50_000;
const MOST_RANGE = 10_000;
const MOST_BYTES = 2 ** 20;

class Bounded extends library.Interpreter {
  #steps = 0;
  override evaluate(statement: unknown, environment: unknown): unknown {
    if (++this.#steps > MOST_STEPS) throw new Error(`more than ${MOST_STEPS} steps`);
    return super.evaluate(statement, environment);
  }
}

/**
 * The template in `declared`, else chat_template.jinja beside the tokenizer, else that of its tokenizer_config.json.
 * Throws DATA_MISSING where there is none, DATA_FORMAT where it is no template.
 */
export async function openChatTemplate(tokenizer: string, declared: string | undefined): Promise<ChatTemplate> {
  const config = await readConfig(tokenizer);
  const beside = join(dirname(tokenizer), 'chat_template.jinja');
  const optional = (e: unknown): undefined => {
    if (e instanceof QuantError && e.code === 'DATA_MISSING') return undefined;
    throw e;
  };
  const text =
    declared === undefined
      ? ((await readText(beside, MOST_BYTES).catch(optional)) ?? templateOf(config.get('chat_template')))
      : await readText(declared, MOST_BYTES);
  const file = declared ?? tokenizer;
  if (text === undefined)
    return fail(
      'DATA_MISSING',
      `the data hold chat messages, and neither ${beside} nor tokenizer_config.json has a chat template`,
      { file },
      'name one with data.chatTemplate: a Jinja file',
    );
  const program = parsed(text, file);
  const special = Object.fromEntries(
    ['bos_token', 'eos_token', 'unk_token', 'pad_token'].map((key) => [key, tokenNamed(config, key) ?? '']),
  );
  return {
    render: (messages, where) => {
      const env = new library.Environment();
      const values = { ...GLOBALS, ...special, messages, add_generation_prompt: false };
      for (const [key, value] of Object.entries(values)) env.set(key, value);
      try {
        return String(new Bounded(env).run(program).value);
      } catch (cause) {
        return fail(
          'DATA_FORMAT',
          `the chat template of ${file} refuses the messages: ${cause instanceof Error ? cause.message : String(cause)}`,
          where,
          'a message has role and content; templates say which roles may follow each other',
          cause,
        );
      }
    },
  };
}

/** Names that templates expect to be there. The date stays fixed, so that the same data give the same tokens. */
const GLOBALS = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception: (message: string): never => {
    throw new Error(message);
  },
  range: (first: number, second?: number, step = 1): number[] => {
    const [from, to] = second === undefined ? [0, first] : [first, second];
    const count = Math.max(0, Math.ceil((to - from) / step));
    if (!(count <= MOST_RANGE)) throw new Error(`range() of more than ${MOST_RANGE} numbers`);
    return Array.from({ length: count }, (_, i) => from + i * step);
  },
  strftime_now: (): string => '2024-07-26',
};

function parsed(text: string, file: string): unknown {
  try {
    return new library.Template(text).parsed;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    return fail('DATA_FORMAT', `the chat template of ${file} is no Jinja template: ${why}`, { file }, undefined, cause);
  }
}

/** A template, or of several the one called default, else the first. */
function templateOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const all = value.flatMap((v: unknown): [string, string][] => {
    const { name, template } = (typeof v === 'object' && v !== null ? v : {}) as Record<string, unknown>;
    return typeof template === 'string' ? [[String(name), template]] : [];
  });
  return (all.find(([name]) => name === 'default') ?? all[0])?.[1];
}

/** Whether a value is a list of chat messages. */
export const isMessages = (value: unknown): value is readonly Message[] =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((m: unknown) => typeof m === 'object' && m !== null && 'role' in m && typeof m.role === 'string');
