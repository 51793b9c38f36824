/**
 * Reads Postfix's queue files: what its hold queue keeps, where a milter's quarantine action puts mail, and MailScanner's
 * "queue files". A file is records, each a type, a length (seven bits an octet, low ones first) and so many octets
 * (src/global/rec_type.h): an envelope, the message line by line, and what was taken out of the message. Milters change it
 * in place: a pointer record says where to read on.
 *
 * Only a whole file ends in an `E` record; Postfix sets the x bit when it has written that.
 */
import { open } from 'node:fs/promises';
import { BadMail } from '#app/lib/bad-mail';
import type { EnvelopeParams } from '#store/model';

export interface QueueFile {
  readonly sender: string;
  /** Those that have not got it yet. */
  readonly recipients: readonly { readonly address: string; readonly orcpt?: string }[];
  readonly arrivedAt?: Date;
  /** Client by XFORWARD's names, and what the sender asked of DSNs. */
  readonly params: EnvelopeParams;
  /** With CRLF. */
  readonly message: AsyncIterable<Uint8Array>;
}

/** `C`, then a length, then numbers in columns. */
export function isQueueFile(start: Uint8Array): boolean {
  const length = start[1] ?? 0;
  if (start[0] !== 0x43 || length < 31 || length > 127) return false;
  const text = Buffer.from(start.subarray(2, 2 + length)).toString('latin1');
  return /^ *\d+ +\d+ +\d+[ \d]*$/.test(text);
}

const wanted = 64 * 1024;
/** Postfix splits lines at 2,048 octets; attributes and addresses are no longer either. */
const maxRecord = 1024 * 1024;
/** A milter that changes a header leaves two pointers a change. */
const maxJumps = 20_000;
const maxRecipients = 100_000;

const attributes: Readonly<Record<string, string>> = {
  log_client_address: 'addr',
  log_client_name: 'name',
  log_helo_name: 'helo',
  log_protocol_name: 'proto',
  log_ident: 'ident',
};

/** `read` is told how many octets of the message went by. @throws BadMail  it is not whole, or none */
export async function readQueueFile(path: string, read: (octets: number) => void): Promise<QueueFile> {
  let sender: string | undefined;
  let arrivedAt: Date | undefined;
  let orcpt: string | undefined;
  let messageAt: number | undefined;
  const recipients: { address: string; orcpt?: string }[] = [];
  const client: Record<string, string> = {};
  const params: { envid?: string; ret?: 'FULL' | 'HDRS' } = {};
  const records = new Records(path);
  try {
    let inMessage = false;
    for (;;) {
      const record = await records.next(inMessage);
      if (!record) throw new BadMail('it is cut off: no Postfix queue file that is whole');
      const { type, text, end } = record;
      if (type === 'E') break;
      if (type === 'M') {
        inMessage = true;
        messageAt = end;
      } else if (type === 'X') inMessage = false;
      else if (inMessage) continue;
      else if (type === 'S') sender = text();
      else if (type === 'T') arrivedAt = timeIn(text());
      else if (type === 'R' || type === 'D' || type === '/') {
        if (type === 'R' && text() !== '' && recipients.length < maxRecipients)
          recipients.push({ address: text(), ...(orcpt ? { orcpt } : {}) });
        orcpt = undefined;
      } else if (type === 'A') {
        const [, name = '', value = ''] = /^([^=]{1,64})=(.*)$/s.exec(text()) ?? [];
        const known = attributes[name];
        if (name === 'dsn_orig_rcpt') orcpt = value;
        else if (name === 'dsn_envelope_id') params.envid = value;
        else if (name === 'ret_flags' && /^[12]$/.test(value)) params.ret = value === '1' ? 'FULL' : 'HDRS';
        else if (known && value !== '' && !/[\p{Cc}]/u.test(value)) client[known] = value;
      }
    }
  } finally {
    await records.close();
  }
  if (sender === undefined || messageAt === undefined) throw new BadMail('it has no envelope: no Postfix queue file');
  return {
    sender,
    recipients,
    params: { ...params, ...(Object.keys(client).length > 0 ? { client } : {}) },
    ...(arrivedAt ? { arrivedAt } : {}),
    message: messageIn(path, messageAt, read),
  };
}

/** Seconds and microseconds since 1970. */
function timeIn(text: string): Date | undefined {
  const seconds = /^ *(\d{1,12})/.exec(text)?.[1];
  return seconds ? new Date(Number(seconds) * 1000) : undefined;
}

async function* messageIn(path: string, from: number, read: (octets: number) => void): AsyncGenerator<Uint8Array> {
  const records = new Records(path, from);
  const crlf = Buffer.from('\r\n');
  let parts: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const record = await records.next(false);
      if (!record || record.type === 'X' || record.type === 'E') break;
      if (record.type !== 'N' && record.type !== 'L') continue;
      parts.push(Buffer.from(record.data()));
      if (record.type === 'N') parts.push(crlf);
      size += record.length + 2;
      if (size < wanted) continue;
      read(size);
      yield Buffer.concat(parts);
      parts = [];
      size = 0;
    }
    read(size);
    if (parts.length > 0) yield Buffer.concat(parts);
  } finally {
    await records.close();
  }
}

interface QueueRecord {
  readonly type: string;
  readonly length: number;
  /** Where the next record begins. */
  readonly end: number;
  data(): Uint8Array;
  text(): string;
}

/** The records of a file in the order in which they are to be read, pointers followed. */
class Records {
  readonly #path: string;
  #file: Awaited<ReturnType<typeof open>> | undefined;
  #at: number;
  #buffer = Buffer.alloc(0);
  #bufferAt = 0;
  #jumps = 0;

  constructor(path: string, from = 0) {
    this.#path = path;
    this.#at = from;
  }

  /** With `skim` the data of records that are no pointers are not read. Undefined at the end of the file. */
  async next(skim: boolean): Promise<QueueRecord | undefined> {
    for (;;) {
      const head = await this.#octets(this.#at, 6, 2);
      if (!head) return undefined;
      const type = String.fromCharCode(head[0] as number);
      let length = 0;
      let at = 1;
      for (let shift = 0; ; shift += 7, at++) {
        const octet = head[at];
        if (octet === undefined || shift > 28) throw new BadMail('it is damaged: no Postfix queue file');
        length |= (octet & 0x7f) << shift;
        if ((octet & 0x80) === 0) break;
      }
      if (length < 0 || length > maxRecord) throw new BadMail('it is damaged: no Postfix queue file');
      const start = this.#at + at + 1;
      const end = start + length;
      const data = skim && type !== 'p' ? new Uint8Array() : await this.#octets(start, length, length);
      if (!data) return undefined;
      this.#at = end;
      if (type === 'w') continue; // room that was left free
      if (type === 'p') {
        const target = Number(/^ *(\d{1,12})/.exec(Buffer.from(data).toString('latin1'))?.[1] ?? 0);
        if (target === 0) continue;
        if (++this.#jumps > maxJumps) throw new BadMail('it goes in circles: a damaged Postfix queue file');
        this.#at = target;
        continue;
      }
      const own = Buffer.from(data);
      return { type, length, end, data: () => own, text: () => own.toString('utf8') };
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Octets from a place, as many as wanted or as there are; undefined if there are fewer than `least`. */
  async #octets(from: number, count: number, least: number): Promise<Uint8Array | undefined> {
    if (from < this.#bufferAt || from + count > this.#bufferAt + this.#buffer.length) {
      this.#file ??= await open(this.#path);
      const size = Math.max(count, wanted);
      const { buffer, bytesRead } = await this.#file.read(Buffer.alloc(size), 0, size, from);
      this.#buffer = buffer.subarray(0, bytesRead);
      this.#bufferAt = from;
    }
    const start = from - this.#bufferAt;
    const found = this.#buffer.subarray(start, start + count);
    return found.length >= least ? found : undefined;
  }
}
