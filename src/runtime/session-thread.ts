/** The thread of a ThreadSession: opens a model, and answers each feed with what it gives. */
import { parentPort, workerData } from 'node:worker_threads';
import { QuantError } from '../base/errors.js';
import type { Feed } from '../ir/feed.js';
import { Session } from './session.js';
import type { ThreadAnswer, ThreadData } from './thread-session.js';

const port = parentPort;
const { file, options } = workerData as ThreadData; // what ThreadSession.open() gives
const answer = (told: ThreadAnswer): void => port?.postMessage(told);
const failed = (cause: unknown): void => {
  const { code, message, where } =
    cause instanceof QuantError ? cause : new QuantError('INTERNAL', `bug in quantbench: ${String(cause)}`);
  answer({ error: { code, message, where } });
};

try {
  const session = await Session.open(file, options);
  port?.on('message', (feed: Feed) => {
    session.run(feed).then((results) => {
      answer({ results });
    }, failed);
  });
  answer({ inputs: session.inputs, outputs: session.outputs });
} catch (cause) {
  failed(cause);
}
