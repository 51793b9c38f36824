/** Mail handed over as filters do it, octet by octet, to a whole server; and a logged-in client of it. */
import type { Test } from 'tap';
import { RawClient } from '../smtp/raw-client.ts';
import { password, type TestApp } from '../support/app.ts';
import { ImapClient } from '../support/imap-client.ts';

export interface HandedOver {
  readonly recipients: readonly string[];
  readonly message: Buffer | string;
  readonly sender?: string;
}

/** All of them over one connection, each acknowledged. Answers the last reply to each. */
export async function handOver(
  server: TestApp,
  protocol: 'lmtp' | 'smtp',
  mails: readonly HandedOver[],
): Promise<string[]> {
  const client = await RawClient.connect(server.addresses[protocol][0]!.port);
  await say(client, protocol === 'lmtp' ? 'LHLO filter.example' : 'EHLO filter.example', '250');
  const said: string[] = [];
  for (const { recipients, message, sender = 'stranger@elsewhere.example' } of mails) {
    await say(client, `MAIL FROM:<${sender}>`, '250');
    for (const recipient of recipients) await say(client, `RCPT TO:<${recipient}>`, '250');
    await say(client, 'DATA', '354');
    client.socket.write(onTheWire(message));
    let reply = '';
    for (let i = protocol === 'lmtp' ? recipients.length : 1; i > 0; i--) reply = await client.reply();
    said.push(reply);
  }
  client.socket.destroy();
  return said;
}

async function say(client: RawClient, line: string, code: string): Promise<void> {
  client.socket.write(`${line}\r\n`);
  const reply = await client.reply();
  if (!reply.startsWith(code)) throw new Error(`${line}: ${reply}`);
}

/** Dots doubled, CRLF put behind what has none, the end. */
export function onTheWire(message: Buffer | string): Buffer {
  const text = ended(message).toString('latin1');
  return Buffer.from(`${text.replace(/^\./, '..').replaceAll('\r\n.', '\r\n..')}.\r\n`, 'latin1');
}

/** As SMTP carries it: a message that does not end in CRLF gets one (DESIGN §7.12). */
export function ended(message: Buffer | string): Buffer {
  const octets = typeof message === 'string' ? Buffer.from(message) : message;
  return octets.length === 0 || octets.subarray(-2).toString('latin1') === '\r\n'
    ? octets
    : Buffer.concat([octets, Buffer.from('\r\n')]);
}

export async function login(t: Test, server: TestApp, user: string): Promise<ImapClient> {
  const client = await ImapClient.connect(t, server.addresses.imap[0]!.port);
  await client.ok(`LOGIN ${user} "${password}"`);
  return client;
}

/** A mail that one can tell from others. */
export const mailAbout = (subject: string, text = 'Hello'): string =>
  `From: Stranger <stranger@elsewhere.example>\r\nTo: somebody@harbour.example\r\nSubject: ${subject}\r\n` +
  `Message-ID: <${subject.replace(/\W+/g, '-')}@elsewhere.example>\r\n\r\n${text}\r\n`;

/** `[COPYUID 1 11:12 20:21] Done` → pairs. */
export function pairs(response: string): Map<number, number> {
  const [, from = '', to = ''] = /\[COPYUID \d+ (\S+) (\S+)\]/.exec(response) ?? [];
  const targets = numbers(to);
  return new Map(numbers(from).map((uid, at) => [uid, targets[at]!]));
}

export function numbers(set: string): number[] {
  return set
    .split(',')
    .filter((range) => range !== '')
    .flatMap((range) => {
      const [first = 0, last = first] = range.split(':').map(Number);
      return Array.from({ length: last - first + 1 }, (_, at) => first + at);
    });
}
