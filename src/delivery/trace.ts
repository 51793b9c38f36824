/**
 * What a release puts above the stored bytes, and nothing else is changed (DESIGN §4.5, §7.6):
 *
 *     Received: by quarantine.example (Lazaret) id 17; Tue, 24 Nov 2026 18:10:55 +0000
 *     X-Lazaret-Release: v1; id=17; …
 *     Resent-From: Lazaret <postmaster@quarantine.example>
 *     Resent-Date: Tue, 24 Nov 2026 18:10:55 +0000
 *     Resent-Message-ID: <…@quarantine.example>
 *
 * Fixed at the drop and equal in all tries, so that whoever gets it twice can tell. Received stands first, because what a
 * filter adds on the way back is told from ours by it (§7.1), and hops are counted by it. A field that some DKIM-Signature
 * names in its `h=` is left out: where a signer lists a field that is not there, adding it breaks the signature
 * (RFC 6376 §5.4.2).
 */
import type { ClaimedJob } from '#store/model';

/** A longer header is not searched for signatures to its end; what could be named there is then not added. */
const searchedOctets = 1 << 20;

export interface Trace {
  readonly hostname: string;
  readonly job: Pick<ClaimedJob, 'resentMessageId' | 'droppedAt'>;
  readonly entryId: number;
  /** The value of X-Lazaret-Release. */
  readonly release: string;
  /** Lower-case names of fields that signatures name; `undefined`: nobody knows. */
  readonly signed: ReadonlySet<string> | undefined;
}

export function renderTrace({ hostname, job, entryId, release, signed }: Trace): string {
  const date = rfcDate(job.droppedAt);
  const names = (prefix: string): boolean =>
    signed === undefined || [...signed].some((name) => name === prefix || name.startsWith(`${prefix}-`));
  let text = '';
  if (!names('received')) text += `Received: by ${hostname} (Lazaret) id ${entryId};\r\n ${date}\r\n`;
  text += `X-Lazaret-Release: ${release.replaceAll('; ', ';\r\n ')}\r\n`;
  if (!names('resent')) {
    text += `Resent-From: Lazaret <postmaster@${hostname}>\r\n`;
    text += `Resent-Date: ${date}\r\n`;
    text += `Resent-Message-ID: ${job.resentMessageId}\r\n`;
  }
  return text;
}

/** Names, in lower case, that DKIM-Signature and ARC-Message-Signature fields of this header list in their `h=`. */
export async function signedFields(header: AsyncIterable<Uint8Array>): Promise<ReadonlySet<string> | undefined> {
  const chunks: Uint8Array[] = [];
  let octets = 0;
  for await (const chunk of header) {
    octets += chunk.length;
    if (octets > searchedOctets) return undefined;
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('latin1');
  const signed = new Set<string>();
  // A field goes on while lines begin with a blank; line ends may be bare, the signer saw what we see.
  for (const [, value = ''] of text.matchAll(/^(?:dkim|arc-message)-signature[ \t]*:(.*(?:\r?\n[ \t].*)*)/gim)) {
    for (const tag of value.split(';')) {
      const [, list] = /^\s*h\s*=([\s\S]*)$/i.exec(tag) ?? [];
      for (const name of list?.split(':') ?? []) signed.add(name.trim().toLowerCase());
    }
  }
  return signed;
}

const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** RFC 5322 §3.3, in UTC. */
export function rfcDate(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const time = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(two).join(':');
  const day = `${days[date.getUTCDay()]}, ${two(date.getUTCDate())} ${months[date.getUTCMonth()]}`;
  return `${day} ${date.getUTCFullYear()} ${time} +0000`;
}
