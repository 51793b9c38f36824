// Loaded with --import into a server under test, into each of its threads: ends the process, as kill -9 does, when it comes
// to a named step for the nth time, and moves its clock.
//
//     KILL_AT=store.committing:drops.take@3      the third time that a batch with a `drops.take` in it is about to be committed
//     KILL_AT=store.leaving>store.committed      the first commit after copies have left (both in the same thread)
//     CLOCK_OFFSET_MS=61000                      it lives a minute ahead: leases of a dead process have run out
//
// The steps are published on diagnostics channels named `lazaret:<step>`; the word behind the colon is the `method`, `name`
// or `step` of what is published, or of one thing in a list of it.
import { subscribe } from 'node:diagnostics_channel';
import { writeSync } from 'node:fs';

const { KILL_AT: killAt = '', CLOCK_OFFSET_MS: offset = '0' } = process.env;

const now = Date.now;
if (Number(offset) !== 0) Date.now = () => now() + Number(offset);

const chain = killAt === '' ? [] : killAt.split('>').map(parse);

function parse(text) {
  const [, step, word, times = '1'] = /^([^:@]+)(?::([^@]+))?(?:@(\d+))?$/.exec(text) ?? [];
  if (!step) throw new Error(`KILL_AT: ${text} is no step`);
  return { step, word, left: Number(times) };
}

function is(message, word) {
  if (word === undefined) return true;
  if (Array.isArray(message)) return message.some((each) => is(each, word));
  return [message?.method, message?.name, message?.step].includes(word);
}

for (const channel of new Set(chain.map(({ step }) => step)))
  subscribe(`lazaret:${channel}`, (message) => {
    const [next] = chain;
    if (!next || next.step !== channel || !is(message, next.word)) return;
    next.left -= 1;
    if (next.left > 0) return;
    chain.shift();
    if (chain.length > 0) return;
    writeSync(2, `\nkilled at ${killAt}\n`);
    process.kill(process.pid, 'SIGKILL');
    // Not a step further, however slowly the signal comes.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
