/**
 * Row 1 for mail handed over by HTTP: the built server is ended by kill -9 again and again while eight senders bring messages,
 * raw, as forms and as JSON, each until it is answered with 200. All of them are there then, whole, and once.
 */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import type { EntryId } from '#store/model';
import { openStore } from '#store/open';
import { randomFrom } from '../imap/random.ts';
import { freePort } from '../support/free-port.ts';
import { ServerProcess } from '../support/server-process.ts';
import { Sink } from '../support/sink.ts';
import { faultsOf } from '../support/store.ts';
import { type Asked, ask, form } from '../web/request.ts';

const rounds = 8;
const senders = 8;
const token = 'a-token-for-tests-1234';

t.test(`${rounds} times kill -9, and what was answered with 200 is there, whole and once`, async (t) => {
  const random = randomFrom(t);
  const sink = await Sink.start(t);
  const server = await ServerProcess.prepare(t, sink.port, 'jobs: { inventory: false }');
  const port = await freePort();
  const env = { LAZARET_INTAKE_HTTP: `["127.0.0.1:${port}"]`, LAZARET_INTAKE_TOKENS: `["${token}"]` };
  const sent = new Map<string, Buffer>();
  let unanswered = 0;
  let over = false;

  const request = (rcpt: string, message: Buffer): Asked => {
    const bearer = ['Authorization', `Bearer ${token}`] as const;
    switch (random(3)) {
      case 0:
        return { port, fields: [bearer, ['Content-Type', 'message/rfc822'], ['X-Lazaret-Rcpt', rcpt]], body: message };
      case 1:
        return {
          port,
          fields: [bearer, ['Content-Type', 'multipart/form-data; boundary=x0x0']],
          body: form([
            ['Content-Disposition: form-data; name=message', message],
            ['Content-Disposition: form-data; name=rcpt', rcpt],
          ]),
        };
      default:
        return {
          port,
          fields: [bearer, ['Content-Type', 'application/json']],
          body: JSON.stringify({ message: message.toString('base64'), rcpt }),
        };
    }
  };
  const sender = async (number: number) => {
    for (let count = 0; !over; count++) {
      const rcpt = `n${number}x${count}@harbour.example`;
      const octets = randomBytes(random(30) === 0 ? 400_000 : 200 + random(4000)).toString('base64');
      const message = Buffer.from(
        `Received: from x by mx.example id n${number}x${count}; Tue, 24 Nov 2026 10:00:00 +0000\r\nSubject: ${rcpt}\r\n\r\n${octets}\r\n`,
      );
      for (;;) {
        const answer = await ask(request(rcpt, message)).catch(() => undefined);
        if (answer?.status === 200) break;
        if (answer && answer.status !== 503) throw new Error(`${answer.status} ${answer.text}`);
        unanswered++;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      sent.set(rcpt, message);
    }
  };

  await server.start({ env });
  const all = Promise.all(Array.from({ length: senders }, (_, number) => sender(number)));
  for (let round = 0; round < rounds; round++) {
    await new Promise((resolve) => setTimeout(resolve, 200 + random(500)));
    await server.kill();
    await server.start({ env });
  }
  over = true;
  await all;
  await server.kill();

  const store = await openStore(server.storeUrl);
  t.teardown(() => store.close());
  const found = new Map<string, number>();
  const damaged: string[] = [];
  for (let before: EntryId | undefined; ; ) {
    const page = await store.entries.list({ scope: { level: 'global' }, limit: 500, ...(before ? { before } : {}) });
    for (const { recipient, messageId } of page) {
      found.set(recipient, (found.get(recipient) ?? 0) + 1);
      const chunks: Uint8Array[] = [];
      for await (const chunk of store.messages.read(messageId)) chunks.push(Buffer.from(chunk));
      if (!sent.get(recipient)?.equals(Buffer.concat(chunks))) damaged.push(recipient);
    }
    if (page.length === 0) break;
    before = page.at(-1)!.id;
  }
  t.ok(sent.size > 50, `${sent.size} messages were acknowledged`);
  t.ok(unanswered > 0, `${unanswered} tries had no answer`);
  t.same(
    [...sent.keys()].filter((rcpt) => found.get(rcpt) !== 1),
    [],
    'each of them is there once',
  );
  t.equal(found.size, sent.size, 'and nothing else is');
  t.same(damaged, []);
  t.same(await faultsOf(server.storeUrl), []);
});
