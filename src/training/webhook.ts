/**
 * A trainer that tells an HTTP service of the operator's: POST with a JSON body, signed. 2xx: learned; 408, 429, 3xx, 5xx, a
 * silence and a broken connection: later; other 4xx: refused.
 *
 * Only the configured host is asked (INTEGRATIONS §8.2 row 34): redirects are not followed, no proxy of the environment is
 * used, the address that was looked up and found allowed is the one that is connected to, and addresses that are not of the
 * public Internet need the operator's word (`privateNetworks`). Certificates are verified.
 *
 * The signature is `X-Lazaret-Signature: t=SECONDS,v1=HEX`, HEX being HMAC-SHA256 over `SECONDS.BODY`: who checks it and the
 * time knows who speaks and that nobody replays it. A body is never whole in memory; the message is therefore read twice.
 */
import { createHmac } from 'node:crypto';
import { lookup as systemLookup } from 'node:dns';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { networks } from '#app/lib/networks';
import { isPublic } from '#app/lib/public-address';
import type { Lesson, Trainer, TrainingOutcome } from './trainer.ts';
import { oneLine } from './words.ts';

export interface WebhookTrainerOptions {
  readonly name: string;
  /** http or https, without a login. */
  readonly url: string;
  readonly secret: string;
  /** `none`: the body tells of the message, but does not carry it. */
  readonly content: 'message' | 'none';
  /** A larger message is not carried. */
  readonly maxBytes: number;
  /** Addresses that may be asked although they are private ones. */
  readonly privateNetworks: readonly string[];
  /** Certificates that are trusted instead of the usual ones, PEM. */
  readonly ca?: string;
  /** For tests: who answers for names, and what time it is. */
  lookup?: typeof systemLookup;
  now?(): number;
}

const longestAnswer = 4096;
const longestWords = 200;

/** Says why there is no connection, in words for the operator. */
class Refused extends Error {}

export function createWebhookTrainer(options: WebhookTrainerOptions): Trainer {
  const { name, now = Date.now } = options;
  const url = new URL(options.url);
  const allowed = networks(options.privateNetworks);
  const isAllowed = (address: string): boolean => isPublic(address) || allowed(address);
  const lookup = guarded(options.lookup ?? systemLookup, isAllowed);

  return {
    name,
    async train(lesson, signal) {
      try {
        const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
        if (isIP(host) !== 0 && !isAllowed(host)) throw new Refused(notAllowed(host));
        const seconds = Math.floor(now() / 1000);
        const signature = createHmac('sha256', options.secret).update(`${seconds}.`);
        let length = 0;
        for await (const piece of bodyOf(lesson, options)) {
          signature.update(piece);
          length += piece.length;
        }
        const answer = await post(url, {
          headers: {
            'Content-Type': 'application/json',
            'Content-Length': length,
            'User-Agent': 'Lazaret',
            'X-Lazaret-Signature': `t=${seconds},v1=${signature.digest('hex')}`,
          },
          body: bodyOf(lesson, options),
          lookup,
          ca: options.ca,
          signal,
        });
        return judge(answer);
      } catch (error) {
        return { kind: 'later', said: troubleOf(error, signal) };
      }
    },
  };
}

/** The JSON, in pieces; the same each time. */
async function* bodyOf(lesson: Lesson, { content, maxBytes }: WebhookTrainerOptions): AsyncGenerator<Buffer> {
  const carries = content === 'message' && lesson.size <= maxBytes;
  const { id, class: klass, sender, recipient, subject, user, account, entryId, size, before } = lesson;
  const facts = JSON.stringify({
    event: 'training',
    id,
    class: klass,
    ...(before && { before }),
    ...(entryId !== undefined && { entryId }),
    sender,
    recipient,
    subject,
    ...(user !== undefined && { user }),
    account,
    size,
  });
  if (!carries) {
    yield Buffer.from(facts);
    return;
  }
  yield Buffer.from(`${facts.slice(0, -1)},"message":"`);
  // Base64 goes by three octets.
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of lesson.message()) {
    const all =
      rest.length > 0 ? Buffer.concat([rest, chunk]) : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const whole = all.length - (all.length % 3);
    if (whole > 0) yield Buffer.from(all.toString('base64', 0, whole));
    rest = Uint8Array.from(all.subarray(whole));
  }
  yield Buffer.from(`${Buffer.from(rest).toString('base64')}"}`);
}

interface Post {
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: AsyncIterable<Buffer>;
  readonly lookup: LookupFunction;
  readonly ca: string | undefined;
  readonly signal: AbortSignal;
}

interface Answer {
  readonly status: number;
  readonly words: string;
}

async function post(url: URL, { headers, body, lookup, ca, signal }: Post): Promise<Answer> {
  // A connection for each: what was allowed for one look-up is not kept for the next.
  const shared = { method: 'POST', headers, lookup, signal, agent: false } as const;
  const request =
    url.protocol === 'https:'
      ? httpsRequest(url, { ...shared, ...(ca !== undefined && { ca }) })
      : httpRequest(url, shared);
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    request.on('error', reject);
    request.once('close', () => reject(new Error('closed')));
  });
  answered.catch(() => undefined);
  const [response] = await Promise.all([answered, send(request, body, answered)]);
  const words = await beginningOf(response);
  request.destroy();
  return { status: response.statusCode ?? 0, words: words || `${response.statusCode} ${response.statusMessage ?? ''}` };
}

/** Throws what the message's source throws. A service may answer before it has read all, and then need not. */
async function send(request: ClientRequest, body: AsyncIterable<Buffer>, answered: Promise<unknown>): Promise<void> {
  let over = false;
  let wake: (() => void) | undefined;
  const onOver = (): void => {
    over = true;
    wake?.();
  };
  answered.then(onOver, onOver);
  request.on('drain', () => wake?.());
  try {
    for await (const piece of body) {
      if (over) return;
      if (!request.write(piece) && !over)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
    if (!over) request.end();
  } catch (error) {
    request.destroy();
    throw error;
  }
}

async function beginningOf(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const piece of response) {
      pieces.push(piece);
      length += piece.length;
      if (length >= longestAnswer) break;
    }
  } catch (error) {
    // The status says it; its words may break off. But for us giving it up.
    if (error instanceof Error && error.name === 'AbortError') throw error;
  }
  const text = Buffer.concat(pieces).subarray(0, longestAnswer).toString('utf8');
  return oneLine(text, longestWords);
}

/** Looks a name up and lets through what may be asked; the connection goes to what is answered here and nowhere else. */
function guarded(lookup: typeof systemLookup, isAllowed: (address: string) => boolean): LookupFunction {
  return (hostname, { family, hints, all }, callback) => {
    lookup(hostname, { ...(family && { family }), ...(hints && { hints }), all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0);
      const good = addresses.filter(({ address }) => isAllowed(address));
      const [first] = good;
      if (!first) return callback(new Refused(notAllowed(addresses[0]?.address ?? hostname)), '', 0);
      if (all) callback(null, good);
      else callback(null, first.address, first.family);
    });
  };
}

const notAllowed = (address: string): string =>
  `${address} is no public address: \`privateNetworks\` has to name it if it is to be asked`;

function judge({ status, words }: Answer): TrainingOutcome {
  if (status >= 200 && status < 300) return { kind: 'learned', said: words };
  if (status >= 300 && status < 400)
    return {
      kind: 'later',
      said: `answered with a redirect (${status}), which is not followed: \`url\` has to be the last address`,
    };
  if (status === 408 || status === 429 || status >= 500) return { kind: 'later', said: `${words} (${status})` };
  return { kind: 'refused', said: `${words} (${status})` };
}

function troubleOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return signal.reason instanceof Error ? signal.reason.message : 'the try was given up';
  if (error instanceof Refused) return error.message;
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
  if (code && /^(ERR_TLS|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED)/.test(code))
    return `the certificate of the service is not good (${code})`;
  return `the service could not be asked${code ? ` (${code})` : ': it closed the connection'}`;
}
