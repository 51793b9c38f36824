/**
 * Puts a release into its user's mailbox by IMAP APPEND, for servers that take mail no other way. The message is whole in
 * memory while it is sent, so few are under way at a time. A try after the first looks for the release in the folder
 * before it appends, by the mark in our trace: an answer that was lost leaves no second copy.
 */
import type { ImapFlow } from 'imapflow';
import { gather } from '#app/lib/gather';
import { cleanLine } from '#app/lib/terminal';
import { splitAddress } from '#app/policy/addresses';
import type { Outcome, Parcel, Transport } from './transport.ts';
import type { ImapBox } from './way.ts';

export interface ImapTiming {
  readonly connectMs: number;
  /** Between two octets. */
  readonly silenceMs: number;
}
const standardTiming: ImapTiming = { connectMs: 30_000, silenceMs: 5 * 60_000 };
const mailboxesAtOnce = 3;
/** Nobody's turn has come for so long: the server hangs. */
const hangingMs = 10_000;

export function byImap(box: ImapBox, timing: Partial<ImapTiming> = {}): Transport {
  const times = { ...standardTiming, ...timing };
  let underWay = 0;
  let movedAt = 0;
  return {
    name: box.name,
    async send(parcel, signal) {
      signal.throwIfAborted();
      const user = userOf(box.user, parcel.entry.owner);
      if (user === undefined) return { kind: 'refused', said: 'a login cannot be made of this address' };
      if (underWay >= mailboxesAtOnce) {
        const busy = { hanging: performance.now() - movedAt > hangingMs };
        return { kind: 'later', said: 'the mailbox server is busy with other releases', busy };
      }
      if (underWay++ === 0) movedAt = performance.now();
      try {
        return await append(box, user, parcel, times, signal);
      } finally {
        underWay--;
        movedAt = performance.now();
      }
    },
  };
}

/** Who logs in. An address may not say whom it becomes: `*` parts user and master user. */
function userOf(template: string, address: string): string | undefined {
  const { local, domain } = splitAddress(address);
  if (local === '' || domain === '' || /[*\p{Cc}]/u.test(address)) return undefined;
  const parts: Readonly<Record<string, string>> = { '{user}': address, '{local}': local, '{domain}': domain };
  return template.replace(/\{[a-z]+\}/g, (name) => parts[name] ?? name);
}

async function append(
  box: ImapBox,
  user: string,
  parcel: Parcel,
  times: ImapTiming,
  signal: AbortSignal,
): Promise<Outcome> {
  const [{ ImapFlow }, message] = await Promise.all([import('imapflow'), gather(parcel.source())]);
  signal.throwIfAborted();
  const client = new ImapFlow({
    host: box.host,
    port: box.port,
    secure: box.implicitTls,
    ...(!box.implicitTls && box.tls !== 'may' && { doSTARTTLS: box.tls !== 'none' }),
    tls: { rejectUnauthorized: box.tls === 'verify' },
    auth: { user, pass: box.password },
    connectionTimeout: times.connectMs,
    greetingTimeout: times.connectMs,
    socketTimeout: times.silenceMs,
    disableAutoIdle: true,
    logger: false,
  });
  // It tells of a broken connection here too; the command under way is told as well.
  client.on('error', () => {});
  let sent = false;
  const onAbort = (): void => client.close();
  signal.addEventListener('abort', onAbort);
  try {
    await client.connect();
    const said = `OK in ${box.folder} of ${parcel.entry.owner}`;
    if (parcel.attempt > 1 && (await isThere(client, box.folder, parcel.mark)))
      return { kind: 'accepted', said: `${said}, from an earlier try` };
    sent = true;
    const done = await client.append(box.folder, message, [], parcel.entry.internalDate);
    if (!done) return { kind: 'later', said: 'the mailbox server closed the connection' };
    return { kind: 'accepted', said: done.uid ? `${said}, uid ${done.uid}` : said };
  } catch (error) {
    if (!sent) signal.throwIfAborted();
    return outcomeOf(error as ImapError);
  } finally {
    signal.removeEventListener('abort', onAbort);
    await farewell(client, signal);
  }
}

async function isThere(client: ImapFlow, folder: string, mark: string): Promise<boolean> {
  await client.mailboxOpen(folder, { readOnly: true });
  const found = await client.search({ header: { 'X-Lazaret-Release': mark } }, { uid: true });
  return Array.isArray(found) && found.length > 0;
}

interface ImapError extends Error {
  readonly authenticationFailed?: boolean;
  /** NO or BAD, its code in brackets and its words. */
  readonly responseStatus?: string;
  readonly serverResponseCode?: string;
  readonly responseText?: string;
  readonly code?: string;
}

/** RFC 5530: what an operator has to mend, and what is wrong with this very message, is shown at once. */
const codesForGood = new Set([
  'TRYCREATE',
  'NONEXISTENT',
  'CANNOT',
  'NOPERM',
  'TOOBIG',
  'LIMIT',
  'APPENDLIMIT',
  'BADCHARSET',
]);

function outcomeOf(error: ImapError): Outcome {
  const { responseStatus, serverResponseCode, responseText, code } = error;
  const words = responseStatus
    ? `${responseStatus}${serverResponseCode ? ` [${serverResponseCode}]` : ''} ${responseText ?? ''}`
    : `the mailbox server cannot be used (${code ?? error.message})`;
  const said = cleanLine(words).trim().slice(0, 1000);
  if (error.authenticationFailed) return { kind: 'later', said: `${said} (at the login)` };
  const isForGood = responseStatus === 'BAD' || codesForGood.has(serverResponseCode ?? '');
  return { kind: isForGood ? 'refused' : 'later', said };
}

/** Politely where the server still answers; whatever happens now, the outcome is known. */
async function farewell(client: ImapFlow, signal: AbortSignal): Promise<void> {
  const timer = setTimeout(() => client.close(), signal.aborted ? 0 : 2000);
  try {
    if (client.usable) await client.logout();
  } catch {
    // It had been closed.
  } finally {
    clearTimeout(timer);
    client.close();
  }
}
