/** What tests with real filters ask of the server behind them: what has arrived, and what a mail client sees of it. */
import { ImapFlow } from 'imapflow';
import type { Test } from 'tap';
import type { ListedEntry } from '#store/port';
import { password, type TestApp } from './app.ts';

interface World {
  readonly server: TestApp;
}

/** Entries of the message with this subject, by recipient. */
export async function entriesAbout({ server }: World, subject: string): Promise<ListedEntry[]> {
  const all = await server.app.store.entries.list({ scope: { level: 'global' }, limit: 500 });
  return all.filter(({ message }) => message.subject === subject).sort((a, b) => (a.recipient < b.recipient ? -1 : 1));
}

/** The same, as soon as there are so many. */
export async function arrived(world: World, subject: string, count = 1): Promise<ListedEntry[]> {
  const { events } = world.server;
  for (;;) {
    const isIt = (event: (typeof events)[number]) => event.kind === 'arrived' && event.subject === subject;
    if (events.filter(isIt).length >= count) return entriesAbout(world, subject);
    await world.server.until('arrived', events.filter(({ kind }) => kind === 'arrived').length + 1);
  }
}

/** Ada's mail client, until the test ends. */
export async function clientOf(t: Test, server: TestApp): Promise<ImapFlow> {
  const client = new ImapFlow({
    host: '127.0.0.1',
    port: server.addresses.imap[0]!.port,
    secure: false,
    doSTARTTLS: false,
    auth: { user: 'ada@harbour.example', pass: password },
    logger: false,
  });
  await client.connect();
  t.teardown(() => client.logout());
  return client;
}
