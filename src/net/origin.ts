/**
 * Who is at the other end of a connection that was just accepted. From a balancer (`proxyProtocol.trusted`) the connection
 * has to begin with a PROXY header, and the address in it is the client's. Everybody else is who they are, and what looks
 * like such a header is the first thing they say: nobody can pretend to be somebody else.
 *
 * Both imap/server.ts and smtp/server.ts ask it before they read anything. What must stay true: octets behind the header are
 * left in the socket, unread; a balancer that sends none or no good one costs one socket for a few seconds.
 */
import type { Socket } from 'node:net';
import { networks, plainAddress } from '#app/lib/networks';
import type { Log } from '#app/observe/log';
import { judge, type Origin } from './proxy-header.ts';

/** A header is one packet, sent at once; [2] of proxy-protocol.txt wants 3 seconds at least, because of a lost packet. */
const headerMs = 5_000;

export interface OriginOptions {
  /** Addresses and ranges of the balancers. */
  readonly trusted: readonly string[];
  readonly log: Log;
  readonly headerMs?: number;
}

/** Rejects if there is no telling; then it is logged, and the socket is gone. */
export type OriginOf = (socket: Socket) => Origin | Promise<Origin>;

export function createOriginOf(options: OriginOptions): OriginOf {
  const isBalancer = networks(options.trusted);
  return (socket) => {
    const peer = { address: plainAddress(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0 };
    return isBalancer(peer.address) ? behind(peer, socket, options) : peer;
  };
}

function behind(
  balancer: Origin,
  socket: Socket,
  { log, headerMs: limitMs = headerMs }: OriginOptions,
): Promise<Origin> {
  return new Promise((resolve, reject) => {
    let octets: Buffer = Buffer.alloc(0);
    const ended = () => {
      clearTimeout(timer);
      socket.off('readable', read).off('end', left).off('close', left);
    };
    const give = (why: string, level: 'debug' | 'warn' = 'warn') => {
      ended();
      log[level]({ balancer: balancer.address, port: balancer.port, why }, 'A connection without a good PROXY header');
      socket.destroy();
      reject(new Error(why));
    };
    const read = () => {
      for (let chunk = take(socket); chunk; chunk = take(socket)) {
        octets = octets.length === 0 ? chunk : Buffer.concat([octets, chunk]);
        const judged = judge(octets);
        if (judged.kind === 'more') continue;
        if (judged.kind === 'bad') return give(judged.why);
        ended();
        const rest = octets.subarray(judged.octets);
        if (rest.length > 0) socket.unshift(rest);
        return resolve(judged.origin ?? balancer);
      }
    };
    // To connect and to leave is how balancers look whether somebody listens.
    const left = () => (octets.length === 0 ? give('it left', 'debug') : give('it left in the middle'));
    const timer = setTimeout(() => give('it did not come in time'), limitMs);
    // Stays: between here and its next owner the socket must not be without one.
    socket.on('error', () => {});
    socket.on('readable', read).on('end', left).on('close', left);
  });
}

const take = (socket: Socket) => socket.read() as Buffer | null;
