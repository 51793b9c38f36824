/**
 * Reads the header with which a balancer says who its client is: PROXY protocol, versions 1 and 2, by HAProxy's
 * proxy-protocol.txt (of 2020/03/05), sections in brackets. Pure: octets in, a judgement out.
 *
 * What must stay true: it never judges more than the header itself, so whatever follows belongs to whoever comes next; what
 * could not become a header any more is `bad` at once, and so is one that is longer than a header may be.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { plainAddress } from '#app/lib/networks';

export interface Origin {
  readonly address: string;
  readonly port: number;
}

export type Judgement =
  /** Good so far, and not all of it. */
  | { readonly kind: 'more' }
  /** `octets` of it. Without `origin` the balancer speaks for itself, or for somebody it has no address of. */
  | { readonly kind: 'header'; readonly octets: number; readonly origin?: Origin }
  | { readonly kind: 'bad'; readonly why: string };

/** [2.1] With its CRLF. */
const longestLine = 107;
/** What follows the fixed part of version 2: addresses, and TLVs, of which the longest we know is a client's certificate. */
const longestRest = 16 * 1024;

const word = Buffer.from('PROXY ');
/** [2.2] */
const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

/** [2.2] Of streams only. Unspecified, and from a UNIX socket: no address that would mean anything here. */
const families = new Map<number, 'none' | 'IPv4' | 'IPv6'>([
  [0x00, 'none'],
  [0x11, 'IPv4'],
  [0x21, 'IPv6'],
  [0x31, 'none'],
]);

const more: Judgement = { kind: 'more' };
const bad = (why: string): Judgement => ({ kind: 'bad', why });

/** Judges everything that has come so far, from the first octet on. */
export function judge(octets: Buffer): Judgement {
  if (octets.length === 0) return more;
  if (octets[0] === word[0]) return begins(octets, word) ? line(octets) : bad('not a PROXY header');
  if (!begins(octets, signature)) return bad('not a PROXY header');
  return octets.length < signature.length + 4 ? more : binary(octets);
}

/** As far as both go. */
function begins(octets: Buffer, start: Buffer): boolean {
  const length = Math.min(octets.length, start.length);
  return octets.subarray(0, length).equals(start.subarray(0, length));
}

/** [2.1] `PROXY TCP4 192.0.2.7 198.51.100.1 56324 993`. */
function line(octets: Buffer): Judgement {
  const end = octets.subarray(0, longestLine).indexOf('\n');
  if (end < 0) return octets.length < longestLine ? more : bad('the line is too long');
  if (octets[end - 1] !== 0x0d) return bad('the line does not end in CRLF');
  const text = octets.toString('latin1', 0, end - 1);
  const [, family, source = '', destination = '', sourcePort = '', destinationPort = '', ...rest] = text.split(' ');
  // "the receiver must ignore anything presented before the CRLF"
  if (family === 'UNKNOWN') return { kind: 'header', octets: end + 1 };
  if (family !== 'TCP4' && family !== 'TCP6') return bad('an unknown family');
  const isOne = family === 'TCP4' ? isIPv4 : (address: string) => isIPv6(address) && !address.includes('%');
  if (rest.length > 0 || !isOne(source) || !isOne(destination)) return bad('no addresses of its family');
  if (!isPort(sourcePort) || !isPort(destinationPort)) return bad('no ports');
  return { kind: 'header', octets: end + 1, origin: { address: plainAddress(source), port: Number(sourcePort) } };
}

const isPort = (text: string) => /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;

/** [2.2] Sixteen octets, then so many as they say. */
function binary(octets: Buffer): Judgement {
  const [how, what] = [octets.readUInt8(12), octets.readUInt8(13)];
  const restOctets = octets.readUInt16BE(14);
  if (how >> 4 !== 2) return bad('an unknown version');
  const command = how & 15;
  if (command > 1) return bad('an unknown command');
  const isLocal = command === 0; // the balancer's own connection: a health check
  const family = isLocal ? 'none' : families.get(what);
  if (family === undefined) return bad('an unknown family');
  const addressOctets = { none: 0, IPv4: 4, IPv6: 16 }[family];
  if (addressOctets > 0 && restOctets < 2 * addressOctets + 4) return bad('too short for its addresses');
  if (restOctets > longestRest) return bad('it is too long');
  const end = signature.length + 4 + restOctets;
  if (octets.length < end) return more;
  if (addressOctets === 0) return { kind: 'header', octets: end };
  // TLVs may follow the addresses; nothing here asks for them.
  const at = signature.length + 4;
  const source = octets.subarray(at, at + addressOctets);
  const port = octets.readUInt16BE(at + 2 * addressOctets);
  return { kind: 'header', octets: end, origin: { address: written(source), port } };
}

function written(address: Buffer): string {
  if (address.length === 4) return address.join('.');
  const groups = Array.from({ length: 8 }, (_, group) => address.readUInt16BE(group * 2).toString(16));
  return plainAddress(groups.join(':'));
}
