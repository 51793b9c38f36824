/** Puts messages into a mailbox: over LMTP, as a filter would, or straight into Lazaret's store. */
import { admitMessage } from '#app/ingest/admit';
import { silent } from '#app/observe/log';
import { AddressBook } from '#app/policy/addresses';
import { openStore } from '#store/open';
import { HttpIntake, Lmtp } from './clients.ts';
import type { LazaretPeer } from './lazaret.ts';
import { marked, message } from './mail.ts';
import type { Peer } from './peer.ts';

/** Hands over messages `from` to `to` on so many connections; answers messages a second. */
export async function handOver(
  peer: Peer,
  recipient: string,
  from: number,
  to: number,
  connections: number,
  length: 'usual' | 'short' = 'usual',
): Promise<number> {
  return handOverBy(() => Lmtp.connect(peer.lmtpPort), recipient, from, to, connections, length);
}

/** The same, each with a filter's block on top. */
export function handOverMarked(
  peer: Peer,
  recipient: string,
  from: number,
  to: number,
  connections: number,
): Promise<number> {
  return handOverBy(() => Lmtp.connect(peer.lmtpPort), recipient, from, to, connections, 'usual', marked);
}

/** The same by HTTP. */
export function handOverByHttp(
  { intakeHttp: { port, token } }: LazaretPeer,
  recipient: string,
  from: number,
  to: number,
  connections: number,
): Promise<number> {
  return handOverBy(() => HttpIntake.connect(port, token), recipient, from, to, connections, 'usual');
}

async function handOverBy(
  connect: () => Promise<Pick<Lmtp, 'send' | 'end'>>,
  recipient: string,
  from: number,
  to: number,
  connections: number,
  length: 'usual' | 'short',
  make: (at: number, length: 'usual' | 'short') => Buffer = message,
): Promise<number> {
  const lines = await Promise.all(Array.from({ length: connections }, connect));
  // Made beforehand where the rate is wanted, for making them costs about what handing them over does.
  const ready = Array.from({ length: Math.min(to - from, 2500) }, (_, at) => make(from + at, length));
  let next = from;
  const start = performance.now();
  await Promise.all(
    lines.map(async (line) => {
      while (next < to) {
        const at = next++;
        await line.send(recipient, ready[at - from] ?? make(at, length));
      }
      line.end();
    }),
  );
  return ((to - from) / (performance.now() - start)) * 1000;
}

/**
 * The same way in behind Lazaret's listener, one admission a message, without its durability: many times faster on a slow
 * disk. The server must not run.
 */
export async function fillStore(
  url: string,
  recipientOf: (at: number) => string,
  from: number,
  to: number,
  length: 'usual' | 'short',
): Promise<void> {
  const store = await openStore(url, { durable: false });
  const setting = {
    store,
    book: new AddressBook({}),
    handOverDomains: [],
    releaseKey: new Uint8Array(32),
    onEvent() {},
    log: silent,
  };
  let next = from;
  const one = async () => {
    while (next < to) {
      const recipient = recipientOf(next);
      const bytes = message(next++, length);
      await admitMessage(setting, {
        source: (async function* () {
          yield bytes;
        })(),
        sender: 'sender@bench.example',
        recipients: [{ address: recipient }],
        params: {},
        direction: 'incoming',
        filter: 'auto',
        repeat: true,
      });
    }
  };
  try {
    await Promise.all(Array.from({ length: 32 }, one));
  } finally {
    await store.close();
  }
}
