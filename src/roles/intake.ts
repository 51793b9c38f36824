/** The role `intake`: takes mail from the filter, by LMTP and SMTP. */
import { createReceiver } from '#app/ingest/receive';
import { HandOverServer } from '#smtp/server';
import type { Ground } from './ground.ts';
import { buildWatches } from './watching.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface IntakeRole {
  listen(): Promise<{ readonly lmtp: readonly Address[]; readonly smtp: readonly Address[] }>;
  stop(graceMs: number): Promise<void>;
}

export function buildIntake(ground: Ground): IntakeRole {
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
    }),
    originOf,
    hostname,
    listen: listeners.map(({ protocol, host, port, name }) => ({ protocol, host, port, name })),
    maxMessageBytes: intake.maxMessageBytes,
    log,
    onReply: (reply) => metrics?.reply(reply),
  });
  const watches = buildWatches(ground);
  return {
    async listen() {
      const open = await server.listen();
      for (const watch of watches) watch.start();
      const of = (protocol: string) => open.filter(({ name }) => name.startsWith(protocol));
      return { lmtp: of('lmtp'), smtp: of('smtp') };
    },
    async stop(graceMs) {
      await Promise.all([server.close(graceMs), ...watches.map((watch) => watch.stop())]);
    },
  };
}
