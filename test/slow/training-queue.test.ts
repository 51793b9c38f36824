/**
 * Row 44 of INTEGRATIONS §8.2 at its size: ten thousand messages to be learned from, by a learner that is down and one that
 * is well. Releases go out meanwhile, who is well learns all, and who is down is asked a few times and not ten thousand.
 */
import { appendFile, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { handOver, login, mailAbout } from '../stories/hand-over.ts';
import { startApp } from '../support/app.ts';

const many = 10_000;

t.test('ten thousand trainings delay no release, and a learner that is down is left in peace', async (t) => {
  const asked = join(t.testdir(), 'asked');
  await appendFile(asked, '');
  const script = ['/bin/sh', '-c', 'cat > /dev/null; echo x >> "$0"; exit 75', asked];
  const learned = new Map<string, number>();
  const well = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { id } = JSON.parse(body);
    learned.set(id, (learned.get(id) ?? 0) + 1);
    response.end('learned');
  });
  await new Promise<void>((resolve) => well.listen(0, '127.0.0.1', resolve));
  t.teardown(() => well.close());
  const url = `http://127.0.0.1:${(well.address() as AddressInfo).port}/`;
  const server = await startApp(t, {
    jobs: { inventory: false },
    training: {
      trainers: [
        { type: 'command', name: 'down', spam: script, ham: script },
        { type: 'webhook', url, secret: 'a secret of sixteen', privateNetworks: ['127.0.0.0/8'] },
      ],
    },
  });
  const recipients = ['ada@harbour.example'];
  for (let at = 0; at < many; at += 1000)
    await handOver(
      server,
      'lmtp',
      Array.from({ length: 1000 }, (_, n) => ({ recipients, message: mailAbout(`message ${at + n}`) })),
    );
  await handOver(server, 'lmtp', [{ recipients: ['ben@quay.example'], message: mailAbout('urgent') }]);
  const ada = await login(t, server, 'ada@harbour.example');
  await ada.ok('SELECT Caught');
  await ada.ok('UID MOVE 1:* Spam');
  const { jobs } = server.app.store;
  const due = async () => (await jobs.backlog()).find(({ step }) => step === 'train-spam')?.due ?? 0;
  t.ok((await due()) > many / 2, 'most of them wait for their turn');

  const ben = await login(t, server, 'ben@quay.example');
  await ben.ok('SELECT Caught');
  await ben.ok('UID MOVE 1:* Release');
  await server.until('released');
  t.equal(server.sink.messages.length, 1);
  t.ok((await due()) > 0, 'it was not the last in the queue');

  await server.app.runner.idle();
  t.same([...new Set(learned.values())], [1], 'each once');
  t.equal(learned.size, many, 'who is well has learned all of them');
  const tries = (await readFile(asked, 'utf8')).length / 2;
  t.ok(tries <= 30, `who is down was asked ${tries} times`);
  t.match(await jobs.trainingStats(), [
    { trainer: 'down', kind: 'later', count: tries },
    { trainer: 'webhook', kind: 'learned', count: many },
  ]);
  t.match(await jobs.backlog(), [{ step: 'train-spam', due: 0, leased: 0, later: many }]);
});
