/**
 * A message's octets, in pieces of any size, and the table of its parts -> its inventory. One pass; what is kept is bounded:
 * the header of the part being read, the last mebibyte of some archives, some text for its links. Linear, pure; every sequence of
 * octets and every table gives some inventory.
 *
 * Attachments are all parts but text that is shown with the message: what has a name, what asks to be one, and what is no
 * plain text and no HTML. A message inside is one, and so is what hangs on it.
 */
import { createHash, type Hash } from 'node:crypto';
import { type CharsetDecoder, openCharset } from '#imap/mime/charset';
import { openTransfer, type TransferDecoder } from '#imap/mime/decode';
import { fieldsOf, latin1 } from '#imap/mime/header';
import { parseValued } from '#imap/mime/params';
import { DEFAULT_LIMITS } from '#imap/mime/parser';
import type { PartRow, PartTable } from '#imap/mime/part-table';
import { DescriptionBuilder, isMessage } from '#imap/mime/structure';
import { clean, decodeParameter } from '#imap/mime/words';
import type { Attachment, Inventory, LinkDomain } from '#store/model';
import { ArchiveReader } from './archive.ts';
import { Links } from './links.ts';
import { type Room, unpackedOctets } from './seven-zip.ts';

/** Characters of a name. */
const maxName = 200;
/** Attachments that are read; what comes after is counted. */
const maxAttachments = 500;
/** Messages inside each other that are attachments of their own; deeper ones would have the same octets hashed again and again. */
const maxNested = 4;
/** Characters of one text, and of all together, in which links are looked for. */
const maxText = 512 * 1024;
const maxAllText = 2 * 1024 * 1024;
/** Octets of the inventory as JSON: of attachments, and of links. */
const attachmentOctets = 44 * 1024;
const linkOctets = 16 * 1024;

/** What parts have in common while a message is read. */
interface Whole {
  readonly links: Links;
  readonly attachments: (Attachment | undefined)[];
  /** Attachments so far, those that are not read included. */
  count: number;
  textLeft: number;
  /** For the directories of archives. */
  readonly room: Room;
}

export class InventoryReader {
  readonly #whole: Whole = {
    links: new Links(),
    attachments: [],
    count: 0,
    textLeft: maxAllText,
    room: { left: unpackedOctets },
  };
  readonly #parts: readonly PartReader[];
  #next = 0;
  #open: PartReader[] = [];
  #offset = 0;

  constructor(table: PartTable) {
    const parts: PartReader[] = [];
    /** Ends of the messages around the present part. */
    const around: number[] = [];
    for (let at = 0; at < table.rows; at += 1) {
      const row = table.row(at);
      while (around.length > 0 && row.headerStart >= (around.at(-1) as number)) around.pop();
      const isWanted = row.kind !== 'message' || around.length < maxNested;
      if (row.kind === 'message') around.push(row.bodyEnd);
      if (row.kind !== 'multipart' && isWanted) parts.push(new PartReader(row, this.#whole));
    }
    this.#parts = parts;
  }

  push(chunk: Uint8Array): void {
    const start = this.#offset;
    const end = start + chunk.length;
    for (let part = this.#parts[this.#next]; part && part.row.headerStart < end; part = this.#parts[this.#next]) {
      this.#next += 1;
      this.#open.push(part);
    }
    // Each of them once a piece; of those that lie inside each other there are few.
    this.#open = this.#open.filter((part) => !part.push(chunk, start));
    this.#offset = end;
  }

  end(): Inventory {
    for (const part of this.#open) part.end();
    return bounded(
      this.#whole.attachments.filter((each) => each !== undefined),
      this.#whole.count,
      this.#whole.links,
    );
  }
}

interface Wanted {
  readonly name: string;
  readonly type: string;
  readonly note: string | undefined;
  /** Its place in the list: parts end in another order than they begin. */
  readonly at: number;
  readonly hash: Hash;
  readonly archive: ArchiveReader;
}

class PartReader {
  readonly row: PartRow;
  readonly #whole: Whole;
  #header: Uint8Array[] = [];
  #headerLength = 0;
  #isOpen = false;
  #transfer: TransferDecoder = openTransfer('');
  #wanted: Wanted | undefined;
  #text: { readonly isHtml: boolean; readonly charset: CharsetDecoder; text: string } | undefined;
  #size = 0;

  constructor(row: PartRow, whole: Whole) {
    this.row = row;
    this.#whole = whole;
  }

  /** Takes what is its own of a piece that begins at `start`; answers whether it has ended. */
  push(chunk: Uint8Array, start: number): boolean {
    const { headerStart, bodyStart, bodyEnd } = this.row;
    const end = start + chunk.length;
    if (!this.#isOpen) {
      const most = DEFAULT_LIMITS.headerBytes - this.#headerLength;
      const header = within(chunk, start, headerStart, bodyStart).subarray(0, most);
      if (header.length > 0) this.#header.push(header);
      this.#headerLength += header.length;
      if (end < bodyStart) return false;
      this.#begin();
    }
    const body = within(chunk, start, bodyStart, bodyEnd);
    if (body.length > 0) this.#take(this.#transfer.decode(body));
    if (end < bodyEnd) return false;
    this.end();
    return true;
  }

  /** Also where the message ends too early. */
  end(): void {
    if (!this.#isOpen) this.#begin();
    this.#take(this.#transfer.end());
    const text = this.#text;
    if (text) {
      if (text.isHtml) this.#whole.links.html(text.text);
      else this.#whole.links.plain(text.text);
    }
    const wanted = this.#wanted;
    this.#text = undefined;
    this.#wanted = undefined;
    if (!wanted) return;
    const listing = wanted.archive.end();
    const notes = [...(wanted.note === undefined ? [] : [wanted.note]), ...(listing?.notes ?? [])];
    this.#whole.attachments[wanted.at] = {
      name: wanted.name,
      type: wanted.type,
      size: this.#size,
      sha256: wanted.hash.digest('hex'),
      ...(listing && listing.names.length > 0 ? { names: listing.names } : {}),
      ...(notes.length > 0 ? { note: notes.join('; ') } : {}),
    };
  }

  #begin(): void {
    this.#isOpen = true;
    const { kind } = this.row;
    const { type, name, encoding, charset, isAttached, note } = describe(Buffer.concat(this.#header), kind);
    this.#header = [];
    const isText = type === 'text/plain' || type === 'text/html';
    if (type.startsWith('text/')) {
      if (this.#whole.textLeft > 0)
        this.#text = { isHtml: type === 'text/html' || type === 'text/xml', charset: openCharset(charset), text: '' };
      else this.#whole.links.cut = true;
    }
    // RFC 2046 §5.2.1: a message has no encoding but identity.
    this.#transfer = openTransfer(kind === 'message' ? '' : encoding);
    if (isText && !isAttached && name === '') return;
    this.#whole.count += 1;
    if (this.#whole.count > maxAttachments) return;
    this.#wanted = {
      name,
      type,
      note,
      at: this.#whole.count - 1,
      hash: createHash('sha256'),
      archive: new ArchiveReader(this.#whole.room),
    };
  }

  #take(octets: Uint8Array): void {
    if (octets.length === 0) return;
    if (this.#wanted) {
      this.#size += octets.length;
      this.#wanted.hash.update(octets);
      this.#wanted.archive.push(octets);
    }
    const text = this.#text;
    if (!text) return;
    const room = Math.min(maxText - text.text.length, this.#whole.textLeft);
    if (room <= 0) {
      this.#whole.links.cut = true;
      return;
    }
    const more = text.charset.decode(octets).slice(0, room);
    text.text += more;
    this.#whole.textLeft -= more.length;
  }
}

/** What of a piece that begins at `start` lies from `from` to `to`. */
function within(chunk: Uint8Array, start: number, from: number, to: number): Uint8Array {
  return chunk.subarray(Math.max(0, from - start), Math.max(0, Math.min(chunk.length, to - start)));
}

interface Described {
  readonly type: string;
  readonly name: string;
  readonly encoding: string;
  readonly charset: string;
  readonly isAttached: boolean;
  readonly note: string | undefined;
}

const plainEncodings: ReadonlySet<string> = new Set(['7bit', '8bit', 'binary', 'base64', 'quoted-printable']);

function describe(octets: Uint8Array, kind: PartRow['kind']): Described {
  const header = latin1(octets);
  const builder = new DescriptionBuilder();
  let disposition: string | undefined;
  for (const field of fieldsOf(header)) {
    const key = field.name.toLowerCase();
    if (!key.startsWith('content-')) continue;
    builder.add(key, field, header);
    if (key === 'content-disposition') disposition ??= header.slice(field.valueStart, field.end);
  }
  const description = builder.build(kind === 'message');
  const { value, params } = parseValued(disposition ?? '');
  const name = decodeParameter(params, 'filename') ?? decodeParameter(description.params, 'name') ?? '';
  const { encoding } = description;
  // As BODYSTRUCTURE has it.
  const isTooDeep = kind === 'leaf' && (description.type === 'multipart' || isMessage(description));
  const notes = [
    ...(isTooDeep ? ['nested too deep to be looked into'] : []),
    ...(plainEncodings.has(encoding) || kind === 'message' ? [] : [`not decoded: ${clean(encoding, 40)}`]),
  ];
  return {
    type: isTooDeep ? 'application/octet-stream' : clean(`${description.type}/${description.subtype}`, 100),
    name: clean(name, maxName),
    encoding,
    charset: decodeParameter(description.params, 'charset') ?? 'us-ascii',
    isAttached: value.toLowerCase() === 'attachment',
    note: notes.length > 0 ? notes.join('; ') : undefined,
  };
}

const octetsOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value)) + 1;

/** As many as there is room for, in their order; names of archives go first. */
function bounded(attachments: readonly Attachment[], count: number, links: Links): Inventory {
  const kept: Attachment[] = [];
  let room = attachmentOctets;
  for (const attachment of attachments) {
    let each = attachment;
    if (each.names && octetsOf(each) > room / 2) {
      const { names: _, ...rest } = each;
      each = { ...rest, note: [...(rest.note === undefined ? [] : [rest.note]), 'names are left out'].join('; ') };
    }
    if (octetsOf(each) > room) break;
    room -= octetsOf(each);
    kept.push(each);
  }
  const domains: LinkDomain[] = [];
  room = linkOctets;
  for (const domain of links.found) {
    room -= octetsOf(domain);
    if (room < 0) break;
    domains.push(domain);
  }
  const problems = [
    ...(kept.length < count ? [`only ${kept.length} of ${count} attachments are listed`] : []),
    ...(links.cut || domains.length < links.found.length ? ['not all links were looked at'] : []),
  ];
  return { attachments: kept, links: domains, ...(problems.length > 0 ? { problem: problems.join('; ') } : {}) };
}
