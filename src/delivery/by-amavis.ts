/**
 * Asks amavis to release what it keeps itself, by AM.PDP (INTEGRATIONS §1.3; README.protocol of amavisd-new). Lines of
 * name=value with percent signs, an empty line at the end of request and reply, a connection for each request. Whoever
 * knows the secret id may release; it is not logged. amavis says 450 to everything it cannot do: what will not be
 * otherwise tomorrow is told by its words.
 */
import { connect, type NetConnectOpts } from 'node:net';
import { cleanLine } from '#app/lib/terminal';
import type { KeptByAmavis } from '#store/model';
import type { Outcome, Parcel, Transport } from './transport.ts';
import type { AmavisSocket } from './way.ts';

/** Between two octets; amavis answers when its own next hop has. */
const defaultSilenceMs = 11 * 60_000;
const connectMs = 30_000;
const longestReply = 64 * 1024;
/** amavisd has a few children; all others wait outside. */
const requestsAtOnce = 2;

const forGood =
  /Secret_id is required|does not match|Unsafe filename|does not exist|No such file|not in a quarantine|Incomplete request/i;

export function byAmavis(socket: AmavisSocket, options: { readonly silenceMs?: number } = {}): Transport {
  let underWay = 0;
  let movedAt = 0;
  return {
    name: socket.name,
    async send(parcel, signal) {
      const { amavis } = parcel.message.params;
      if (!amavis) return { kind: 'refused', said: 'amavis does not keep this message' };
      signal.throwIfAborted();
      if (underWay >= requestsAtOnce) {
        const busy = { hanging: performance.now() - movedAt > 10_000 };
        return { kind: 'later', said: 'amavis is busy with other releases', busy };
      }
      underWay++;
      try {
        const reply = await ask(
          socket,
          requestOf(socket, amavis, parcel),
          options.silenceMs ?? defaultSilenceMs,
          signal,
        );
        return typeof reply === 'string' ? outcomeOf(reply) : reply;
      } finally {
        underWay--;
        movedAt = performance.now();
      }
    },
  };
}

function requestOf({ request }: AmavisSocket, kept: KeptByAmavis, { envelope, message, entry, actor }: Parcel): string {
  const lines: [string, string | undefined][] = [
    ['request', request],
    ['mail_id', kept.mailId],
    ['secret_id', kept.secretId],
    ['partition_tag', kept.partitionTag],
    ['quar_type', kept.quarType],
    ['mail_file', kept.mailFile],
    ['requested_by', actor.account.includes('@') ? `<${actor.account}>` : undefined],
    ['sender', envelope.sender === message.sender ? undefined : `<${envelope.sender}>`],
    ['recipient', `<${entry.recipient}>`],
  ];
  let text = '';
  for (const [name, value] of lines) if (value !== undefined) text += `${name}=${encode(value)}\r\n`;
  return `${text}\r\n`;
}

/** The whole reply, or how it came to none. Throws the signal's reason while nothing was asked yet. */
function ask(socket: AmavisSocket, request: string, silenceMs: number, signal: AbortSignal): Promise<string | Outcome> {
  return new Promise((resolve, reject) => {
    const stream = connect(socket.at as NetConnectOpts);
    let asked = false;
    let reply = '';
    const end = (settle: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      stream.destroy();
      settle();
    };
    const later = (said: string): void => end(() => resolve({ kind: 'later', said }));
    const onAbort = (): void => (asked ? later('the try was given up') : end(() => reject(signal.reason)));
    signal.addEventListener('abort', onAbort);
    stream.setTimeout(Math.min(connectMs, silenceMs), () => later('amavis did not answer in time'));
    stream.setEncoding('latin1');
    stream.on('error', (error: NodeJS.ErrnoException) => later(`amavis cannot be reached (${error.code ?? 'error'})`));
    stream.on('close', () => later('amavis closed the connection'));
    stream.on('connect', () => {
      asked = true;
      stream.setTimeout(silenceMs);
      stream.write(request, 'latin1');
    });
    stream.on('data', (chunk: string) => {
      const seen = Math.max(0, reply.length - 3);
      reply += chunk;
      if (reply.indexOf('\r\n\r\n', seen) >= 0) end(() => resolve(reply));
      else if (reply.length > longestReply) later('amavis answered something that is not AM.PDP');
    });
  });
}

/** `setreply=250 2.0.0 from%20MTA(…)`: one recipient was named, so there is one. */
function outcomeOf(reply: string): Outcome {
  const [, code, enhanced = '', text = ''] = /^setreply=([245]\d\d)(?: (\S+))?(?: (\S*))?\r?$/m.exec(reply) ?? [];
  if (code === undefined) return { kind: 'later', said: 'amavis answered without a reply for the recipient' };
  const words = decode(text);
  const said = cleanLine(`${code} ${decode(enhanced)} ${words}`).slice(0, 1000);
  if (code.startsWith('2')) return { kind: 'accepted', said };
  return { kind: code.startsWith('5') || forGood.test(words) ? 'refused' : 'later', said };
}

/** README.protocol: octets outside "!" to "~" and the percent sign itself. */
const encode = (value: string): string =>
  Buffer.from(value, 'utf8')
    .toString('latin1')
    .replace(/[^!-$&-~]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`);

const decode = (text: string): string =>
  Buffer.from(
    text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString('utf8');
