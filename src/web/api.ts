/**
 * The API: what programs ask and say with a token. Its own listener, because whoever may read numbers (`http.listen`) may not
 * change anything. Answers are JSON; what went wrong is a sentence under `error`.
 *
 *     GET    /api/training-requested/{domain or address}    {"name": …, "state": "on", "by": "domain"}
 *     PUT    the same, with {"state": "on"} or {"state": "off"}
 *     DELETE the same: what its domain or the settings say holds again
 */
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '#app/observe/log';
import type { TrainingRequested } from '#app/policy/training-requested';
import { BadRequest } from './bad-request.ts';
import { Door, type DoorListen, Doors, type Origin } from './door.ts';
import { challenge, createTokenCheck, type Token } from './tokens.ts';

export interface ApiServerOptions {
  readonly listen: readonly DoorListen[];
  readonly tokens: readonly Token[];
  readonly trainingRequested: Pick<TrainingRequested, 'nameOf' | 'standing' | 'put'>;
  readonly originOf: (socket: Socket) => Origin | Promise<Origin>;
  readonly secureContext?: (() => SecureContext) | undefined;
  readonly log: Log;
}

const maxHeaderOctets = 16 * 1024;
const maxBodyOctets = 4 * 1024;

export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #doors = new Doors();

  constructor(options: ApiServerOptions) {
    this.#options = options;
  }

  /** Opens all listeners, or none. Answers where they are, in the order of the options. */
  listen(): Promise<{ readonly host: string; readonly port: number }[]> {
    const { originOf, secureContext, log } = this.#options;
    return this.#doors.open(
      this.#options.listen.map((listen) => {
        const door = new Door({ listen, originOf, secureContext, log, maxHeaderOctets, requestMs: 20_000 });
        this.#routes(door, listen);
        return door;
      }),
    );
  }

  close(graceMs: number): Promise<void> {
    return this.#doors.close(graceMs);
  }

  #routes(door: Door, { name: listener }: DoorListen): void {
    const { tokens, trainingRequested, log } = this.#options;
    const whose = createTokenCheck(tokens);
    const refuse = async (request: FastifyRequest, reply: FastifyReply, status: number, error: string) => {
      await door.drained(request, reply);
      return reply.code(status).send({ error });
    };
    const names = new WeakMap<FastifyRequest, string>();

    door.routes.addHook('onRequest', async (request, reply) => {
      const name = whose(request.headers.authorization);
      if (name !== undefined) {
        names.set(request, name);
        return;
      }
      log.info({ client: door.originOf(request).address, listener }, 'A client of the API was not let in');
      reply.header('www-authenticate', challenge);
      await refuse(request, reply, 401, 'A token is needed: Authorization: Bearer TOKEN');
    });

    const url = '/api/training-requested/:name';
    type Named = { Params: { name: string } };
    const named = async (request: FastifyRequest<Named>, reply: FastifyReply): Promise<string | undefined> => {
      const name = trainingRequested.nameOf(request.params.name);
      if (name === undefined) await refuse(request, reply, 404, 'This is no domain and no address of ours');
      return name;
    };
    const put = async (request: FastifyRequest<Named>, reply: FastifyReply, state: 'on' | 'off' | undefined) => {
      const name = await named(request, reply);
      if (name === undefined) return reply;
      const standing = await door.track(trainingRequested.put(name, state));
      log.info({ by: names.get(request), name, state: state ?? 'default' }, 'training-requested');
      return reply.send(standing);
    };
    door.routes.get<Named>(url, async (request, reply) => {
      const name = await named(request, reply);
      return name === undefined ? reply : reply.send(await trainingRequested.standing(name));
    });
    door.routes.delete<Named>(url, (request, reply) => put(request, reply, undefined));
    door.routes.put<Named>(url, async (request, reply) => {
      let state: 'on' | 'off';
      try {
        state = stateIn(await bodyOf(request));
      } catch (error) {
        if (!(error instanceof BadRequest)) throw error;
        return refuse(request, reply, error.status, error.message);
      }
      return put(request, reply, state);
    });
  }
}

/** @throws BadRequest */
function stateIn(body: string): 'on' | 'off' {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {}
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  const [name, state] = entries[0] ?? [];
  if (entries.length !== 1 || name !== 'state' || (state !== 'on' && state !== 'off'))
    throw new BadRequest('Expected {"state": "on"} or {"state": "off"}');
  return state;
}

async function bodyOf(request: FastifyRequest): Promise<string> {
  const chunks: Uint8Array[] = [];
  let octets = 0;
  for await (const chunk of request.raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
    octets += chunk.length;
    if (octets > maxBodyOctets) throw new BadRequest('Expected {"state": "on"} or {"state": "off"}', 413);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
