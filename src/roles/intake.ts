/** The role `intake`: takes mail from the filter, by LMTP, SMTP and HTTP. */
import { createHttpIntake } from '#app/ingest/http';
import { createReceiver } from '#app/ingest/receive';
import type { Certificate } from '#app/tls';
import { IntakeServer } from '#app/web/intake';
import { HandOverServer } from '#smtp/server';
import type { Ground } from './ground.ts';
import { buildReports } from './reporting.ts';
import { buildWatches } from './watching.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface IntakeRole {
  listen(): Promise<Readonly<Record<'lmtp' | 'smtp' | 'http', readonly Address[]>>>;
  stop(graceMs: number): Promise<void>;
}

/** `certificate` for listeners with TLS. */
export function buildIntake(ground: Ground, certificate?: Certificate): IntakeRole {
  const { config, admission, originOf, log, metrics } = ground;
  const { hostname, intake } = config;
  const listeners = (['lmtp', 'smtp'] as const).flatMap((protocol) =>
    intake[protocol].map((listener, at) => ({ ...listener, protocol, name: `${protocol}-${at}` })),
  );
  const server = new HandOverServer({
    receiver: createReceiver({
      ...admission,
      trusted: intake.trusted,
      listeners: Object.fromEntries(listeners.map((listener) => [listener.name, listener])),
      maxMessageBytes: intake.maxMessageBytes,
      reports: buildReports(ground),
    }),
    originOf,
    hostname,
    listen: listeners.map(({ protocol, host, port, name }) => ({ protocol, host, port, name })),
    maxMessageBytes: intake.maxMessageBytes,
    log,
    onReply: (reply) => metrics?.reply(reply),
  });
  const byHttp = intake.http.map((listener, at) => ({ ...listener, name: `http-${at}` }));
  const http = new IntakeServer({
    intake: createHttpIntake({
      ...admission,
      listeners: Object.fromEntries(byHttp.map((listener) => [listener.name, listener])),
      maxMessageBytes: intake.maxMessageBytes,
    }),
    listen: byHttp.map(({ host, port, tls, name }) => ({ host, port, tls, name })),
    trusted: intake.trusted,
    tokens: intake.tokens,
    maxMessageBytes: intake.maxMessageBytes,
    originOf,
    secureContext: certificate?.context,
    log,
    onReply: (reply) => metrics?.reply(reply),
  });
  const watches = buildWatches(ground);
  return {
    async listen() {
      const [open, openHttp] = [await server.listen(), await http.listen()];
      for (const watch of watches) watch.start();
      const of = (protocol: string) => open.filter(({ name }) => name.startsWith(protocol));
      return { lmtp: of('lmtp'), smtp: of('smtp'), http: openHttp };
    },
    async stop(graceMs) {
      await Promise.all([server.close(graceMs), http.close(graceMs), ...watches.map((watch) => watch.stop())]);
    },
  };
}
