/** Sends a mail by SMTP as a mail server on the internet does, and answers what it was told. */
import { once } from 'node:events';
import { connect } from 'node:net';

export interface Submission {
  readonly from: string;
  readonly to: readonly string[];
  readonly message: string | Uint8Array;
  readonly helo?: string;
  /** Where it comes from; any address of 127.0.0.0/8. */
  readonly address?: string;
  /** Parameters of MAIL, e.g. `BODY=8BITMIME SMTPUTF8`. */
  readonly params?: string;
}

export interface Told {
  readonly recipients: readonly string[];
  /** The reply to the message; of the last command that failed, if it never came to that. */
  readonly reply: string;
}

export async function submit(port: number, mail: Submission): Promise<Told> {
  const { from, to, message, helo = 'client.example', address = '127.0.0.1', params } = mail;
  const socket = connect({ port, host: '127.0.0.1', localAddress: address });
  await once(socket, 'connect');
  const lines = replies(socket);
  const say = async (line: string | Uint8Array): Promise<string> => {
    socket.write(line);
    return (await lines.next()).value ?? 'closed';
  };
  try {
    const greeting = (await lines.next()).value ?? 'closed';
    if (!greeting.startsWith('220')) return { recipients: [], reply: greeting };
    await say(`EHLO ${helo}\r\n`);
    const sender = await say(`MAIL FROM:<${from}>${params ? ` ${params}` : ''}\r\n`);
    if (!sender.startsWith('250')) return { recipients: [], reply: sender };
    const recipients: string[] = [];
    for (const each of to) recipients.push(await say(`RCPT TO:<${each}>\r\n`));
    const data = await say('DATA\r\n');
    if (!data.startsWith('354')) return { recipients, reply: data };
    return { recipients, reply: await say(ended(message)) };
  } finally {
    socket.destroy();
  }
}

function ended(message: string | Uint8Array): Buffer {
  const text = Buffer.from(message)
    .toString('latin1')
    .replace(/(^|\r\n)\./g, '$1..');
  return Buffer.from(`${text}${text.endsWith('\r\n') ? '' : '\r\n'}.\r\n`, 'latin1');
}

async function* replies(socket: AsyncIterable<Buffer>): AsyncGenerator<string, undefined> {
  let text = '';
  for await (const chunk of socket) {
    text += chunk.toString('utf8');
    for (;;) {
      const match = /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n/.exec(text);
      if (!match) break;
      text = text.slice(match[0].length);
      yield match[0].trimEnd();
    }
  }
  return undefined;
}
