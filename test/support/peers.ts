/**
 * What stands around a server that is killed: an MTA that sends again what nobody acknowledged, a mail client that asks
 * again when an answer was lost, a next hop that counts; and the audit, which compares what they know with the store.
 */
import { createHash } from 'node:crypto';
import type { Test } from 'tap';
import { parseAccountName } from '#app/accounts/names';
import { hashPassword } from '#app/accounts/passwords';
import { AddressBook } from '#app/policy/addresses';
import type { Message } from '#store/model';
import { openStore } from '#store/open';
import type { History, ListedEntry, Store } from '#store/port';
import { ImapClient, type Said } from './imap-client.ts';
import { LmtpClient } from './lmtp.ts';
import type { ServerProcess } from './server-process.ts';
import type { Sink, SunkMessage } from './sink.ts';

export const people = ['ada@harbour.example', 'ben@quay.example', 'eve@quay.example'] as const;
const password = 'a long test password';

export async function addAccounts(storeUrl: string): Promise<void> {
  const store = await openStore(storeUrl);
  const passwordHash = await hashPassword(password);
  const book = new AddressBook({});
  for (const name of ['global', 'harbour.example', ...people])
    await store.accounts.add({ name, scope: parseAccountName(name, book, 'global')!.scope, passwordHash });
  await store.close();
}

// -------------------------------------------------------------------------------------------------------------- mail

/** A message as its sender has it, until it is acknowledged and after. */
export interface Mail {
  readonly id: string;
  readonly recipients: readonly string[];
  /** What was sent, try by try; the octets below the filter's block. */
  readonly tried: Buffer[];
  acknowledged: boolean;
}

const idIn = (text: string): string | undefined => /\[(\w+-\d+)\]/.exec(text)?.[1];

/** Sends mail and sends it again, as Postfix or amavis does, and knows what was acknowledged. */
export class Mta {
  readonly port: number;
  readonly sent = new Map<string, Mail>();
  #last = 0;

  constructor(port: number) {
    this.port = port;
  }

  write(tag: string, recipients: readonly string[]): Mail {
    this.#last += 1;
    const mail: Mail = { id: `${tag}-${this.#last}`, recipients, tried: [], acknowledged: false };
    this.sent.set(mail.id, mail);
    return mail;
  }

  /**
   * One try. `octets` about its size. amavis writes a block and a Received of its own, new in every try (INTEGRATIONS §8.2
   * row 3), above what is the same in all. @throws when the connection is lost before all replies
   */
  async send(
    mail: Mail,
    { client, octets = 600, amavis = false }: { client?: LmtpClient; octets?: number; amavis?: boolean } = {},
  ): Promise<readonly string[]> {
    const own = client ?? (await LmtpClient.connect(this.port));
    try {
      const attempt = mail.tried.length + 1;
      const [block, received] = amavis ? amavisBlock(mail, attempt) : ['', ''];
      const kept = `${received}${messageOf(mail.id, octets)}`;
      mail.tried.push(Buffer.from(kept, 'latin1'));
      const replies = await own.send('spam@elsewhere.example', mail.recipients, `${block}${kept}`);
      mail.acknowledged =
        replies.length === mail.recipients.length && replies.every((reply) => reply.startsWith('250'));
      return replies;
    } finally {
      if (!client) own.close();
    }
  }
}

function messageOf(id: string, octets: number): string {
  const line = `${createHash('sha256').update(id).digest('base64')} . of ${id}\r\n.\r\n`;
  const head =
    `Received: from mx.elsewhere.example (mx.elsewhere.example [192.0.2.7])\r\n\tby mta.example with ESMTP id ${id}\r\n` +
    `From: Shop <shop@elsewhere.example>\r\nTo: undisclosed\r\nSubject: [${id}] of a test\r\n` +
    `Message-ID: <${id}@elsewhere.example>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\n`;
  return head + line.repeat(Math.max(1, Math.ceil((octets - head.length) / line.length)));
}

function amavisBlock({ id, recipients }: Mail, attempt: number): readonly [string, string] {
  const name = `Q${createHash('sha256').update(`${id}/${attempt}`).digest('hex').slice(0, 11)}`;
  const block =
    `X-Envelope-From: <spam@elsewhere.example>\r\nX-Envelope-To: ${recipients.map((to) => `<${to}>`).join(', ')}\r\n` +
    `X-Envelope-To-Blocked: ${recipients.map((to) => `<${to}>`).join(', ')}\r\nX-Quarantine-ID: <${name}>\r\n` +
    'X-Spam-Flag: YES\r\nX-Spam-Score: 12.5\r\n';
  const received =
    'Received: from mta.example ([127.0.0.1])\r\n by localhost (mx.example [127.0.0.1]) (amavis, port 10024) with ESMTP\r\n' +
    ` id ${name}; Mon, 23 Nov 2026 10:00:01 +0000 (UTC)\r\n`;
  return [block, received];
}

/** What a peer sees of a kill -9; anything else is a fault of the server. */
export const isLost = (error: unknown): boolean => /closed|ECONN|EPIPE|mid-response/.test(String(error));

// ------------------------------------------------------------------------------------------------------- mail client

export interface Pairs {
  readonly from: readonly number[];
  readonly to: readonly number[];
}

/** One connection of a mail client. Every method throws when the connection is lost. */
export class Reader {
  readonly client: ImapClient;
  selected = '';

  private constructor(client: ImapClient) {
    this.client = client;
  }

  static async open(port: number, user: string, folder = 'Caught'): Promise<Reader> {
    const client = await ImapClient.connect(undefined, port);
    const reader = new Reader(client);
    try {
      const { status, text } = await client.says(`LOGIN ${user} "${password}"`);
      if (status !== 'OK') throw new Error(`LOGIN: ${text}`);
      await reader.select(folder);
    } catch (error) {
      client.abandon();
      throw error;
    }
    return reader;
  }

  /** UIDNEXT and HIGHESTMODSEQ. */
  async select(folder: string): Promise<{ readonly uidNext: number; readonly modSeq: number }> {
    const said = (await this.client.ok(`SELECT "${folder}" (CONDSTORE)`)).join('\n');
    this.selected = folder;
    const number = (name: string) => Number(new RegExp(`\\[${name} (\\d+)\\]`).exec(said)?.[1]);
    return { uidNext: number('UIDNEXT'), modSeq: number('HIGHESTMODSEQ') };
  }

  /** UIDs in the selected folder whose subject has this in it. */
  async uids(subject?: string): Promise<number[]> {
    const said = await this.client.ok(`UID SEARCH ${subject === undefined ? 'ALL' : `SUBJECT "${subject}"`}`);
    const line = said.find((each) => each.startsWith('* SEARCH')) ?? '';
    return line.split(' ').slice(2).filter(Boolean).map(Number);
  }

  async put(
    command: 'COPY' | 'MOVE',
    uids: readonly number[],
    folder: string,
  ): Promise<Said & { readonly pairs: Pairs }> {
    const said = await this.client.says(`UID ${command} ${uids.join(',')} "${folder}"`);
    const code = /\[COPYUID \d+ (\S+) (\S+)\]/.exec([...said.untagged, said.text].join('\n'));
    return { ...said, pairs: { from: numbersOf(code?.[1]), to: numbersOf(code?.[2]) } };
  }

  async append(folder: string, message: Buffer): Promise<Said> {
    this.client.send(`a APPEND "${folder}" {${message.length}}`);
    await this.client.sees(/^\+ /);
    this.client.write(message);
    this.client.write('\r\n');
    return this.client.answer('a');
  }

  /** Shown messages of the selected folder by UID, as Latin-1. */
  async bodies(): Promise<Map<number, string>> {
    const bodies = new Map<number, string>();
    this.client.octets = true;
    for (const response of await this.client.ok('UID FETCH 1:* (UID BODY.PEEK[])')) {
      const [head, uid, size] = /^\* \d+ FETCH \(UID (\d+) BODY\[\] \{(\d+)\}\r\n/.exec(response) ?? [];
      if (head) bodies.set(Number(uid), response.slice(head.length, head.length + Number(size)));
    }
    this.client.octets = false;
    return bodies;
  }

  close(): void {
    this.client.abandon();
  }
}

function numbersOf(set = ''): number[] {
  return set.split(',').flatMap((range) => {
    if (range === '') return [];
    const [first = 0, last = first] = range.split(':').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

// ------------------------------------------------------------------------------------------------------------- audit

/** An entry with everything that is known about it. */
export interface Found extends History {
  readonly mail: Mail;
  readonly bytes: Buffer;
}

export const keyOf = (id: string, recipient: string): string => `${id} ${recipient}`;

/** Copies that the next hop took, with what they carry. */
export interface Copy {
  readonly id: string;
  readonly recipient: string;
  readonly resentMessageId: string;
  readonly message: SunkMessage;
}

export function copiesIn(sink: Sink): Copy[] {
  return sink.messages
    .filter(({ reply }) => reply.startsWith('250'))
    .map((message) => {
      const head = message.bytes.subarray(0, 4096).toString('latin1');
      return {
        id: idIn(/^Subject: (.*)/m.exec(head)?.[1] ?? '') ?? '',
        recipient: message.recipients[0] ?? '',
        resentMessageId: /^Resent-Message-ID:\s*(<[^>]+>)/m.exec(head)?.[1] ?? '',
        message,
      };
    });
}

/**
 * What must be true at every moment, of everything that was ever handed over:
 * - an acknowledged message has exactly one entry for each recipient, any other message all of them or none;
 * - the bytes of every entry are there, and those of one of the tries;
 * - a UID, once seen, stands for the same entry for ever;
 * - in a readable folder IMAP shows just what the store says, octet by octet;
 * - what the next hop got belongs to a drop, and is the stored bytes below the trace;
 * What the database itself says is faultsOf (store.ts).
 */
export class Audit {
  readonly #server: ServerProcess;
  readonly #mta: Mta;
  readonly #sink: Sink;
  readonly #uids = new Map<number, string>();
  readonly #checkedBytes = new Map<number, Buffer>();
  #highestUid = 0;

  constructor(server: ServerProcess, mta: Mta, sink: Sink) {
    this.#server = server;
    this.#mta = mta;
    this.#sink = sink;
  }

  /** Waits until no job is left to run, then looks. */
  async settled(t: Test, tag?: string): Promise<Map<string, Found>> {
    const store = await openStore(this.#server.storeUrl);
    try {
      await settle(store);
    } finally {
      await store.close();
    }
    return this.now(t, tag);
  }

  /** `tag`: only mail whose id begins so; all of it when left out. Only while the server runs, so that the file is in use. */
  async now(t: Test, tag = ''): Promise<Map<string, Found>> {
    const store = await openStore(this.#server.storeUrl);
    try {
      return await this.#look(t, store, tag);
    } finally {
      await store.close();
    }
  }

  async #look(t: Test, store: Store, tag: string): Promise<Map<string, Found>> {
    const found = new Map<string, Found>();
    const faults: string[] = [];
    for (const listed of await allEntries(store)) {
      const id = idIn(listed.message.subject) ?? '';
      if (!id.startsWith(tag)) continue;
      const mail = this.#mta.sent.get(id);
      const key = keyOf(id, listed.recipient);
      if (!mail?.recipients.includes(listed.recipient)) faults.push(`${key}: nobody sent that`);
      if (found.has(key)) faults.push(`${key}: two entries`);
      const history = await store.entries.history(listed.id);
      if (!mail || !history) continue;
      const bytes = await this.#bytesOf(store, listed.message);
      if (!mail.tried.some((tried) => tried.equals(bytes))) faults.push(`${key}: other bytes than were sent`);
      found.set(key, { ...history, mail, bytes });
      for (const { uid, folder } of history.stays) {
        const name = `${listed.id} in ${folder}`;
        const before = this.#uids.get(uid);
        if (before !== undefined && before !== name) faults.push(`UID ${uid} was ${before} and is ${name}`);
        this.#uids.set(uid, name);
        this.#highestUid = Math.max(this.#highestUid, uid);
      }
      const open = history.stays.filter((stay) => !stay.endedAt && readable.has(stay.folder)).map(({ uid }) => uid);
      const shown = history.entry.uid === undefined ? [] : [history.entry.uid];
      if (open.join() !== shown.join()) faults.push(`${key}: open stays ${open.join()}, shown ${shown.join()}`);
    }
    for (const { id, recipients, acknowledged } of this.#mta.sent.values()) {
      if (!id.startsWith(tag)) continue;
      const held = recipients.filter((recipient) => found.has(keyOf(id, recipient)));
      if (held.length !== recipients.length && (acknowledged || held.length > 0))
        faults.push(`${id}: ${acknowledged ? 'acknowledged, ' : ''}${held.length} of ${recipients.length} entries`);
    }
    faults.push(...this.#copies(found, tag), ...(await this.#imap(found)));
    t.strictSame(faults, [], `${found.size} entries stand as they should`);
    return found;
  }

  /** The next hop got nothing that nobody dropped, and the stored bytes. */
  #copies(found: ReadonlyMap<string, Found>, tag: string): string[] {
    const faults: string[] = [];
    for (const { id, recipient, resentMessageId, message } of copiesIn(this.#sink)) {
      if (!id.startsWith(tag)) continue;
      const entry = found.get(keyOf(id, recipient));
      if (!entry) faults.push(`${id} for ${recipient} was delivered, and there is no such entry`);
      else if (!message.bytes.subarray(message.bytes.length - entry.bytes.length).equals(entry.bytes))
        faults.push(`${id} for ${recipient} was delivered with other bytes`);
      else if (!entry.drops.some((drop) => resentMessageId.startsWith(`<${drop.id}.${entry.entry.id}@`)))
        faults.push(`${id} for ${recipient} was delivered, and nobody dropped it: ${resentMessageId}`);
    }
    return faults;
  }

  async #imap(found: ReadonlyMap<string, Found>): Promise<string[]> {
    const faults: string[] = [];
    const reader = await Reader.open(this.#server.ports.imap, 'global');
    try {
      for (const [role, name] of readable) {
        await reader.select(name);
        const bodies = await reader.bodies();
        const known = new Set<number>();
        for (const { entry, bytes, mail } of found.values()) {
          if (entry.folder !== role || entry.uid === undefined) continue;
          known.add(entry.uid);
          const id = String(entry.id);
          const expected = entry.prefix.replaceAll('{id}', id) + bytes.toString('latin1');
          if (bodies.get(entry.uid) !== expected)
            faults.push(`${mail.id}: BODY[] of ${entry.uid} in ${name} is ${bodies.get(entry.uid)?.length} octets`);
        }
      }
    } finally {
      reader.close();
    }
    return faults;
  }

  async #bytesOf(store: Store, message: Message): Promise<Buffer> {
    const known = this.#checkedBytes.get(message.id);
    if (known) return known;
    const pieces: Uint8Array[] = [];
    for await (const piece of store.messages.read(message.id)) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    this.#checkedBytes.set(message.id, bytes);
    return bytes;
  }

  /** Each UID that was given so far is smaller than those that come. */
  get highestUid(): number {
    return this.#highestUid;
  }
}

const readable = new Map<string, string>([
  ['caught', 'Caught'],
  ['outgoing', 'Caught (Outgoing)'],
  ['training', 'Training Requested'],
  ['trash', 'Trash'],
]);

export async function allEntries(store: Store): Promise<ListedEntry[]> {
  const all: ListedEntry[] = [];
  for (;;) {
    const before = all.at(-1)?.id;
    const page = await store.entries.list({
      scope: { level: 'global' },
      limit: 1000,
      ...(before !== undefined && { before }),
    });
    if (page.length === 0) return all;
    all.push(...page);
  }
}

/** Until every job has ended. @throws after a minute */
async function settle(store: Store): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const { ready, leased } = await store.jobs.counts();
    if (ready + leased === 0) return;
    if (performance.now() > deadline)
      throw new Error(`${ready} jobs are ready and ${leased} leased, and nobody ends them`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
