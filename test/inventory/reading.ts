/** What the tests of inventories share: a message read in pieces, archives by hand. */
import { InventoryReader } from '#app/inventory/reader';
import { PartTable } from '#imap/mime/part-table';
import { Summarizer } from '#imap/mime/summary';
import type { Inventory } from '#store/model';

export function partsOf(raw: Uint8Array): Uint8Array {
  const summary = new Summarizer();
  summary.push(raw);
  return summary.end().parts;
}

/** `cut` says how long the next piece is. */
export function inventoryOf(raw: Uint8Array, cut: () => number = () => 256 * 1024): Inventory {
  const reader = new InventoryReader(new PartTable(partsOf(raw)));
  for (let at = 0; at < raw.length; ) {
    const piece = Math.max(1, cut());
    reader.push(Uint8Array.from(raw.subarray(at, at + piece)));
    at += piece;
  }
  return reader.end();
}

export interface Part {
  readonly header: string;
  readonly body: string | Uint8Array;
}

/** A multipart/mixed message of these parts. */
export function mixed(...parts: readonly Part[]): Buffer {
  const pieces = parts.flatMap(({ header, body }) => ['--b1\r\n', `${header}\r\n\r\n`, body, '\r\n']);
  const head = 'From: x@spam.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n';
  return Buffer.concat([head, ...pieces, '--b1--\r\n'].map((piece) => Buffer.from(piece)));
}

/** In base64, in lines. */
export function attached(name: string, octets: Uint8Array, type = 'application/octet-stream'): Part {
  const lines =
    Buffer.from(octets)
      .toString('base64')
      .match(/.{1,76}/g) ?? [];
  return {
    header: `Content-Type: ${type}\r\nContent-Disposition: attachment; filename="${name}"\r\nContent-Transfer-Encoding: base64`,
    body: lines.join('\r\n'),
  };
}

interface ZipFile {
  readonly name: string | Uint8Array;
  readonly flags?: number;
  readonly data?: Uint8Array;
}

/** Stored files, not compressed. */
export function zip(
  files: readonly ZipFile[],
  {
    comment = '',
    zip64 = false,
    before = Buffer.alloc(0),
  }: { comment?: string; zip64?: boolean; before?: Buffer } = {},
): Buffer {
  const locals: Buffer[] = [before];
  const entries: Buffer[] = [];
  let offset = before.length;
  for (const { name, flags = 0, data = Buffer.alloc(0) } of files) {
    const octets = Buffer.from(name);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50);
    local.writeUInt16LE(flags, 6);
    local.writeUInt32LE(data.length, 18);
    local.writeUInt32LE(data.length, 22);
    local.writeUInt16LE(octets.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50);
    entry.writeUInt16LE(flags, 8);
    entry.writeUInt32LE(data.length, 20);
    entry.writeUInt32LE(data.length, 24);
    entry.writeUInt16LE(octets.length, 28);
    entry.writeUInt32LE(offset, 42);
    locals.push(local, octets, Buffer.from(data));
    entries.push(entry, octets);
    offset += 30 + octets.length + data.length;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(zip64 ? 0xffff : files.length, 8);
  end.writeUInt16LE(zip64 ? 0xffff : files.length, 10);
  end.writeUInt32LE(zip64 ? 0xffffffff : directory.length, 12);
  end.writeUInt32LE(zip64 ? 0xffffffff : offset, 16);
  end.writeUInt16LE(comment.length, 20);
  const large: Buffer[] = [];
  if (zip64) {
    const record = Buffer.alloc(56);
    record.writeUInt32LE(0x06064b50);
    record.writeBigUInt64LE(44n, 4);
    record.writeBigUInt64LE(BigInt(files.length), 24);
    record.writeBigUInt64LE(BigInt(files.length), 32);
    record.writeBigUInt64LE(BigInt(directory.length), 40);
    record.writeBigUInt64LE(BigInt(offset), 48);
    const locator = Buffer.alloc(20);
    locator.writeUInt32LE(0x07064b50);
    locator.writeBigUInt64LE(BigInt(offset + directory.length), 8);
    locator.writeUInt32LE(1, 16);
    large.push(record, locator);
  }
  return Buffer.concat([...locals, directory, ...large, end, Buffer.from(comment)]);
}

/** One header and its data, padded; the sum is right. */
export function tarFile(name: string, data: Uint8Array = Buffer.alloc(0), { type = '0', prefix = '' } = {}): Buffer {
  const header = Buffer.alloc(512);
  header.write(name.slice(0, 100), 0);
  header.write('0000644\0', 100);
  header.write(`${data.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('        ', 148);
  header.write(type, 156);
  header.write('ustar\x0000', 257);
  header.write(prefix, 345);
  const sum = header.reduce((all, octet) => all + octet, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}
export const tarEnd = Buffer.alloc(1024);
