/** Headers of version 2, good and bad ones. */
import { isIPv6 } from 'node:net';

export interface Parts {
  readonly version?: number;
  readonly command?: number;
  /** Told from `from` unless it stands here. */
  readonly family?: number;
  readonly from?: string;
  readonly port?: number;
  /** Instead of those of `from`. */
  readonly addresses?: Buffer;
  readonly tlvs?: Buffer;
}

export function v2({ version = 2, command = 1, from, port = 0, tlvs = Buffer.alloc(0), ...parts }: Parts): Buffer {
  const family = parts.family ?? (from === undefined ? 0 : isIPv6(from) ? 0x21 : 0x11);
  const addresses = parts.addresses ?? (from === undefined ? Buffer.alloc(0) : both(from, port));
  const fixed = Buffer.alloc(16);
  fixed.write('\r\n\r\n\0\r\nQUIT\n', 'latin1');
  fixed.writeUInt8((version << 4) | command, 12);
  fixed.writeUInt8(family, 13);
  fixed.writeUInt16BE(addresses.length + tlvs.length, 14);
  return Buffer.concat([fixed, addresses, tlvs]);
}

/** From there to itself, port 993. */
function both(address: string, port: number): Buffer {
  const octets = bytesOf(address);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(port, 0);
  ports.writeUInt16BE(993, 2);
  return Buffer.concat([octets, octets, ports]);
}

function bytesOf(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number));
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  if (dotted) {
    const [a = 0, b = 0, c = 0, d = 0] = dotted.slice(2).map(Number);
    return bytesOf(`${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`);
  }
  const [left = '', right] = address.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  const [before, after] = [groups(left), groups(right ?? '')];
  const all = [...before, ...Array(8 - before.length - after.length).fill(0), ...after] as number[];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 255]));
}
