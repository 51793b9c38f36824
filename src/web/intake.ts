/**
 * The HTTP listeners of the intake: `POST /intake` for anything that can send a request, and `POST /intake/rspamd` for
 * Rspamd's metadata_exporter. Here is how a message and what is said about it are read out of a request, as they come and
 * never whole in memory; what they mean is for whoever answers IntakePort.
 *
 * What must stay true: who is not trusted, or shows no token, is refused before anything of the message is read; 200 is said
 * only when it is kept; trouble of ours is 503, so that everybody tries again; no token and no octet of a message gets into
 * the log. Names of header fields and of fields are keys of Maps only.
 */
import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { networks } from '#app/lib/networks';
import type { Log } from '#app/observe/log';
import { StoreFull } from '#store/errors';
import { BadRequest } from './bad-request.ts';
import { Door, type DoorListen, type DoorOptions, Doors, type Origin, say } from './door.ts';
import { boundaryOf, partsOf } from './form.ts';
import { JsonMessage } from './json-message.ts';
import { challenge, createTokenCheck, type Token } from './tokens.ts';

type Fields = ReadonlyMap<string, readonly string[]>;

/** One message, as a request brings it. Names are in lower case. */
export interface HandedOver {
  readonly listener: string;
  readonly manner: 'own' | 'rspamd';
  /** Header fields of this manner, without its prefix. */
  readonly fields: Fields;
  /** What the address says, and with Rspamd's manner our own fields: whoever set it up, not what it found. */
  readonly asked: Fields;
  readonly message: AsyncIterable<Uint8Array>;
  /** What the body says besides the message, when that has ended; absent: the body is the message. */
  readonly besides?: () => { readonly fields: Fields; readonly json: readonly unknown[] };
}

export interface Kept {
  readonly entryId: number;
  readonly uid?: number;
  readonly how: string;
}

/** What a product must answer when mail is handed over. */
export type IntakePort = (
  handedOver: HandedOver,
) => Promise<
  | { readonly kind: 'taken'; readonly entries: readonly Kept[] }
  | { readonly kind: 'too-large' }
  | { readonly kind: 'refused'; readonly why: string }
>;

export interface IntakeServerOptions {
  readonly intake: IntakePort;
  readonly listen: readonly DoorListen[];
  /** Networks of clients that may hand mail over. */
  readonly trusted: readonly string[];
  readonly tokens: readonly Token[];
  readonly maxMessageBytes: number;
  readonly originOf: (socket: Socket) => Origin | Promise<Origin>;
  readonly secureContext?: (() => SecureContext) | undefined;
  readonly log: Log;
  /** Told of every answer, once, as the reply code that SMTP has for it, for whoever counts. */
  readonly onReply?: ((reply: { readonly code: number }) => void) | undefined;
  /** For tests. */
  readonly timing?: Pick<DoorOptions, 'idleMs' | 'headerMs' | 'requestMs'>;
}

/** Rspamd's symbols stand in one field, and may be long. */
const maxHeaderOctets = 128 * 1024;
/** Of all fields of a form but the message. */
const maxFieldOctets = 1024 * 1024;
const rawTypes = new Set(['', 'message/rfc822', 'message/global', 'application/octet-stream', 'text/plain']);

const prefixes = { own: 'x-lazaret-', rspamd: 'x-rspamd-' } as const;
type Manner = keyof typeof prefixes;

export class IntakeServer {
  readonly #options: IntakeServerOptions;
  readonly #doors = new Doors();

  constructor(options: IntakeServerOptions) {
    this.#options = options;
  }

  /** Opens all listeners, or none. Answers where they are, in the order of the options. */
  listen(): Promise<{ readonly host: string; readonly port: number }[]> {
    const { originOf, secureContext, log, timing } = this.#options;
    return this.#doors.open(
      this.#options.listen.map((listen) => {
        const door = new Door({ listen, originOf, secureContext, log, maxHeaderOctets, ...timing });
        this.#routes(door, listen);
        return door;
      }),
    );
  }

  close(graceMs: number): Promise<void> {
    return this.#doors.close(graceMs);
  }

  #routes(door: Door, { name: listener }: DoorListen): void {
    const { trusted, tokens, log, intake, maxMessageBytes, onReply } = this.#options;
    const isTrusted = networks(trusted);
    const whose = createTokenCheck(tokens);

    /** Undefined: it may go on. */
    const refusal = (request: FastifyRequest): readonly [status: number, sentence: string] | undefined => {
      if (!isTrusted(door.originOf(request).address)) return [403, 'This client may not hand mail over here'];
      if (whose(request.headers.authorization) === undefined)
        return [401, 'A token is needed: Authorization: Bearer TOKEN, or as the password of Basic'];
      return undefined;
    };

    door.routes.addHook('onRequest', async (request, reply) => {
      const refused = refusal(request);
      if (!refused) return;
      const [status, sentence] = refused;
      log.info({ client: door.originOf(request).address, listener, status }, 'A client was not let in');
      onReply?.({ code: 554 });
      await door.drained(request, reply);
      if (status === 401) reply.header('www-authenticate', challenge);
      await say(reply, status, sentence);
    });

    const receive = async (request: FastifyRequest, reply: FastifyReply, manner: Manner) => {
      const answer = async (status: number, sentence: string) => {
        onReply?.({ code: status === 503 ? 451 : 554 });
        await door.drained(request, reply);
        return say(reply, status, sentence);
      };
      // Said before it comes: nobody needs to read it all to refuse it. What is around the message is little.
      const announced = Number(request.headers['content-length'] ?? 0);
      const most = maxMessageBytes * (typeOf(request) === 'application/json' ? 1.4 : 1) + maxFieldOctets * 2;
      const tooLarge = () => answer(413, `The message is larger than this server takes (${maxMessageBytes} bytes)`);
      if (announced > most) return tooLarge();
      try {
        const outcome = await door.track(intake(handedOver(request, listener, manner, most)));
        if (outcome.kind === 'refused') return answer(400, sentence(outcome.why));
        if (outcome.kind === 'too-large') return tooLarge();
        onReply?.({ code: 250 });
        await door.drained(request, reply); // of what was put off the message was not read
        return reply.code(200).send(outcome.entries.map(({ entryId, uid, how }) => ({ entryId, uid, how })));
      } catch (error) {
        if (error instanceof BadRequest) return answer(error.status, sentence(error.message));
        const facts = { client: door.originOf(request).address, listener, err: error };
        if (request.raw.destroyed && !request.raw.complete) {
          log.info(facts, 'A client left before its message was complete');
          return reply.hijack();
        }
        if (error instanceof StoreFull) log.error(facts, 'A message was not kept: the store is full');
        else log.warn(facts, 'A message was not kept');
        reply.header('retry-after', '30');
        return answer(503, 'Not kept because of a local problem, please try again later');
      }
    };
    door.routes.post('/intake', (request, reply) => receive(request, reply, 'own'));
    door.routes.post('/intake/rspamd', (request, reply) => receive(request, reply, 'rspamd'));
    for (const url of ['/intake', '/intake/rspamd'])
      door.routes.route({
        method: ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'],
        url,
        handler: async (request, reply) => {
          await door.drained(request, reply);
          return say(reply.header('allow', 'POST'), 405, 'Messages are handed over by POST');
        },
      });
  }
}

const sentence = (text: string) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;

const typeOf = (request: FastifyRequest) =>
  (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';

/** @throws BadRequest */
function handedOver(request: FastifyRequest, listener: string, manner: Manner, most: number): HandedOver {
  const coding = request.headers['content-encoding'] ?? 'identity';
  if (
    !/^\s*(?:identity)?\s*$/i.test(coding) ||
    !/^\s*(?:chunked)?\s*$/i.test(request.headers['transfer-encoding'] ?? '')
  )
    throw new BadRequest('compressed bodies are not taken here, send it as it is', 415);
  const { rawHeaders } = request.raw;
  const asked = queryOf(request);
  if (manner !== 'own')
    for (const [name, values] of headerFields(rawHeaders, prefixes.own))
      for (const value of values) note(asked, name, value);
  const head = { listener, manner, fields: headerFields(rawHeaders, prefixes[manner]), asked };
  // A stream that is left before its end must not be destroyed: its connection has an answer to carry.
  const octets = noMoreThan(most, request.raw.iterator({ destroyOnReturn: false }));
  const type = typeOf(request);
  if (rawTypes.has(type)) return { ...head, message: octets };
  if (type === 'application/json') {
    const json = new JsonMessage();
    return { ...head, message: json.octets(octets), besides: () => ({ fields: new Map(), json: [json.rest()] }) };
  }
  if (type !== 'multipart/form-data')
    throw new BadRequest(
      'expected Content-Type message/rfc822 with a message, multipart/form-data with a part named message, or application/json',
      415,
    );
  const boundary = boundaryOf(request.headers['content-type'] ?? '');
  if (boundary === undefined) throw new BadRequest('the form has no boundary');
  const fields = new Map<string, string[]>();
  const json: unknown[] = [];
  return { ...head, message: messageInForm(octets, boundary, fields, json), besides: () => ({ fields, json }) };
}

/** A bound for what is around a message; the message has its own. @throws BadRequest */
async function* noMoreThan(most: number, source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let octets = 0;
  for await (const chunk of source) {
    octets += chunk.length;
    if (octets > most) throw new BadRequest('the request is larger than this server takes', 413);
    yield chunk;
  }
}

/** The part named `message`. Notes what the others say: `metadata` in JSON, the rest as fields. */
async function* messageInForm(
  octets: AsyncIterable<Uint8Array>,
  boundary: string,
  fields: Map<string, string[]>,
  json: unknown[],
): AsyncGenerator<Uint8Array, void> {
  let found = false;
  let left = maxFieldOctets;
  for await (const { name, body } of partsOf(octets, boundary)) {
    if (name === 'message') {
      if (found) throw new BadRequest('the form has two parts named message');
      found = true;
      yield* body;
      continue;
    }
    const text = await textOf(body, left);
    left -= text.length + name.length;
    if (name === 'metadata') json.push(parsed(text));
    else note(fields, name.toLowerCase(), text);
  }
  if (!found) throw new BadRequest('the form has no part named message');
}

async function textOf(body: AsyncIterable<Uint8Array>, most: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let octets = 0;
  for await (const chunk of body) {
    octets += chunk.length;
    if (octets > most) throw new BadRequest('the form says too much besides the message', 413);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new BadRequest('the part metadata of the form is not JSON');
  }
}

function note(fields: Map<string, string[]>, name: string, value: string): void {
  const values = fields.get(name);
  if (values) values.push(value);
  else fields.set(name, [value]);
}

/** Fields with a prefix, each with all its values. What is UTF-8 is read as such. */
function headerFields(raw: readonly string[], prefix: string): Map<string, string[]> {
  const fields = new Map<string, string[]>();
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    if (!name.startsWith(prefix)) continue;
    const octets = Buffer.from(raw[at + 1]!, 'latin1');
    note(fields, name.slice(prefix.length), octets.toString(isUtf8(octets) ? 'utf8' : 'latin1'));
  }
  return fields;
}

function queryOf({ raw }: FastifyRequest): Map<string, string[]> {
  const at = raw.url?.indexOf('?') ?? -1;
  const query = new Map<string, string[]>();
  const asked = new URLSearchParams(at < 0 ? '' : raw.url?.slice(at + 1));
  for (const [name, value] of asked) note(query, name.toLowerCase(), value);
  return query;
}
