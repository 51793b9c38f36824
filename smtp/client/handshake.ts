/**
 * From nothing to a session that can take MAIL: connect, greeting, EHLO or LHLO, TLS, login. Nothing here is about a
 * message: whatever goes wrong, a 5xx too, is a matter of this hop and its operator, and therefore a HopFailure, which is
 * tried again later.
 */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { NextHop } from './next-hop.ts';
import { HopFailure, type Reply, Session, sentenceFor } from './session.ts';

export interface Timeouts {
  /** Address look-up, TCP, and a TLS handshake. */
  readonly connectMs: number;
  /** RFC 5321 §4.5.3.2.1. */
  readonly greetingMs: number;
  /** Each command's reply, §4.5.3.2.2 to .4. */
  readonly commandMs: number;
  /** The hop takes no octets of the message for so long, §4.5.3.2.5. */
  readonly blockMs: number;
  /** The reply after the message: too short a wait makes duplicates, §4.5.3.2.6. */
  readonly dataMs: number;
}

export interface Handshake {
  readonly hop: NextHop;
  /** What EHLO says. */
  readonly hostname: string;
  readonly timeouts: Timeouts;
  /** Further TLS settings, e.g. authorities. */
  readonly tls?: Pick<ConnectionOptions, 'ca' | 'cert' | 'key'>;
  readonly signal: AbortSignal;
}

/** @throws HopFailure */
export async function openSession(handshake: Handshake): Promise<Session> {
  try {
    return await attempt(handshake, handshake.hop.tls !== 'none');
  } catch (error) {
    // "May" means: rather in clear text than not at all. The failed connection is of no use any more.
    if (!(error instanceof StartTlsFailed) || handshake.hop.tls !== 'may' || handshake.signal.aborted) throw error;
    return attempt(handshake, false);
  }
}

class StartTlsFailed extends HopFailure {}

async function attempt(handshake: Handshake, startTls: boolean): Promise<Session> {
  const { hop, timeouts, signal } = handshake;
  const session = new Session(await dial(handshake));
  const onAbort = () => session.fail('the try was given up');
  signal.addEventListener('abort', onAbort);
  try {
    if (signal.aborted) onAbort();
    wanted(await session.reply(timeouts.greetingMs, 'the connection'), 220);
    await hello(session, handshake);
    if (startTls && !hop.implicitTls) await upgrade(session, handshake);
    if (hop.login) await logIn(session, hop.login, timeouts.commandMs);
    return session;
  } catch (error) {
    session.quit();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function dial({ hop, timeouts, signal, tls }: Handshake): Promise<Socket> {
  return connected(
    hop.implicitTls
      ? connectTls({ host: hop.host, port: hop.port, ...tlsOptions(hop, tls) })
      : connectTcp({ host: hop.host, port: hop.port }),
    hop.implicitTls ? 'secureConnect' : 'connect',
    timeouts.connectMs,
    signal,
  );
}

function tlsOptions(hop: NextHop, tls: Handshake['tls']): ConnectionOptions {
  return {
    ...tls,
    rejectUnauthorized: hop.tls === 'verify',
    minVersion: 'TLSv1.2',
    ...(isIP(hop.host) === 0 && { servername: hop.host }),
  };
}

function connected(socket: Socket, event: string, limitMs: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const end = (why: string): void => {
      settle();
      // An error may still come from a socket that is torn down; nobody is interested any more.
      socket.on('error', () => {});
      socket.destroy();
      reject(new HopFailure(why));
    };
    const onError = (error: Error): void => end(sentenceFor(error));
    const onClose = (): void => end('the next hop closed the connection');
    const onAbort = (): void => end('the try was given up');
    const timer = setTimeout(() => end('the next hop could not be reached in time'), limitMs);
    const onReady = (): void => {
      settle();
      resolve(socket);
    };
    const settle = (): void => {
      clearTimeout(timer);
      socket.off('error', onError);
      socket.off('close', onClose);
      socket.off(event, onReady);
      signal.removeEventListener('abort', onAbort);
    };
    socket.on('error', onError);
    socket.on('close', onClose);
    socket.on(event, onReady);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
}

/** EHLO or LHLO; HELO for servers that know nothing newer (RFC 5321 §3.2). */
async function hello(session: Session, { hop, hostname, timeouts }: Handshake): Promise<void> {
  const verb = hop.protocol === 'lmtp' ? 'LHLO' : 'EHLO';
  const reply = await command(session, `${verb} ${hostname}`, timeouts.commandMs, verb);
  if (reply.code >= 500 && verb === 'EHLO') {
    wanted(await command(session, `HELO ${hostname}`, timeouts.commandMs, 'HELO'), 250);
    return;
  }
  wanted(reply, 250);
  for (const line of reply.lines.slice(1)) {
    const [keyword = '', ...parameters] = line.trim().split(/[ =]+/); // "AUTH=LOGIN": an old form, still met
    const before = session.extensions.get(keyword.toUpperCase());
    session.extensions.set(keyword.toUpperCase(), [before, ...parameters].filter(Boolean).join(' '));
  }
}

/** RFC 3207. */
async function upgrade(session: Session, handshake: Handshake): Promise<void> {
  const { hop, timeouts, signal } = handshake;
  if (!session.extensions.has('STARTTLS')) {
    if (hop.tls === 'may') return;
    throw new HopFailure('the next hop does not offer TLS, which the configuration requires');
  }
  const reply = await command(session, 'STARTTLS', timeouts.commandMs, 'STARTTLS');
  if (reply.code !== 220) {
    if (hop.tls === 'may') return;
    throw new HopFailure(reply.said);
  }
  try {
    await session.upgrade((plain) => {
      plain.on('error', () => {}); // it reaches us as the failure of the handshake
      const secure = connectTls({ socket: plain, host: hop.host, ...tlsOptions(hop, handshake.tls) });
      return connected(secure, 'secureConnect', timeouts.connectMs, signal);
    });
  } catch (error) {
    throw new StartTlsFailed(error instanceof Error ? error.message : 'the TLS handshake failed');
  }
  await hello(session, handshake);
}

async function logIn(session: Session, login: NonNullable<NextHop['login']>, limitMs: number): Promise<void> {
  const offered = (session.extensions.get('AUTH') ?? '').toUpperCase().split(' ');
  const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64');
  if (offered.includes('PLAIN')) {
    // RFC 4616
    const answer = base64(`\0${login.user}\0${login.password}`);
    wanted(await command(session, `AUTH PLAIN ${answer}`, limitMs, 'AUTH'), 235);
  } else if (offered.includes('LOGIN')) {
    wanted(await command(session, 'AUTH LOGIN', limitMs, 'AUTH'), 334);
    wanted(await command(session, base64(login.user), limitMs, 'AUTH'), 334);
    wanted(await command(session, base64(login.password), limitMs, 'AUTH'), 235);
  } else {
    throw new HopFailure('the next hop offers no login by PLAIN or LOGIN, which the configuration asks for');
  }
}

async function command(session: Session, line: string, limitMs: number, what: string): Promise<Reply> {
  session.write(`${line}\r\n`);
  return session.reply(limitMs, what);
}

function wanted(reply: Reply, code: number): void {
  if (reply.code !== code) throw new HopFailure(reply.said);
}
