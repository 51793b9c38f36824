/** A mailbox of a few messages in memory, and an output that keeps what was written; for tests of FETCH and SEARCH. */
import type { Fetched, Mailbox, StoreChange, Stored, Targets, Transferred, View, Want } from '#imap/backend';
import { Summarizer } from '#imap/mime/summary';
import type { Output } from '#imap/wire/output';

export interface Content {
  readonly uid: number;
  /** Latin-1. */
  readonly message: string;
  readonly prefix?: string;
  readonly flags?: string;
  readonly date?: string;
  readonly modSeq?: number;
  /** Neither announced as gone nor readable: what the mailbox does not answer. */
  readonly vanished?: boolean;
}

export interface Behaviour {
  readonly readOnly?: boolean;
  /** Messages in one batch. */
  readonly batch?: number;
  /** Octets in one piece of a body. */
  readonly piece?: number;
  /** Sections that are not kept. */
  readonly without?: readonly (keyof Want)[];
  /** Reading fails at this octet of any message. */
  readonly failsAt?: number;
  /** Reading ends at this octet of any message, as if that were all. */
  readonly endsAt?: number;
}

export class ContentMailbox implements Mailbox {
  readonly name = 'Test';
  readonly readOnly: boolean;
  readonly uidValidity = 1;
  readonly flags = ['\\Seen'];
  readonly permanentFlags = ['\\Seen'];
  readonly view: View;
  /** What was called, in words. */
  readonly calls: string[] = [];
  /** Octets read of bodies. */
  octetsRead = 0;
  /** Streams opened and not ended. */
  open = 0;
  readonly #contents: readonly Content[];
  readonly #behaviour: Behaviour;
  readonly #flagSets: string[] = [];

  constructor(contents: readonly Content[], behaviour: Behaviour = {}) {
    this.#contents = contents;
    this.#behaviour = behaviour;
    this.readOnly = behaviour.readOnly === true;
    const sizes = contents.map(({ prefix = '', message }) => prefix.length + message.length);
    this.view = {
      uids: Uint32Array.from(contents, ({ uid }) => uid),
      count: contents.length,
      sizes: Uint32Array.from(sizes),
      internalDates: Float64Array.from(contents, ({ date }) => Date.parse(date ?? '2026-11-22T01:02:03Z')),
      modSeqs: Float64Array.from(contents, ({ modSeq }) => modSeq ?? 1),
      flagSet: Uint32Array.from(contents, ({ flags }) => this.#setOf(flags ?? '')),
      flagSets: this.#flagSets,
      uidNext: (contents.at(-1)?.uid ?? 0) + 1,
      highestModSeq: Math.max(1, ...contents.map(({ modSeq }) => modSeq ?? 1)),
      departures: 0,
      leftSince: () => [],
      changedSince: () => [],
    };
  }

  #setOf(flags: string): number {
    const known = this.#flagSets.indexOf(flags);
    return known >= 0 ? known : this.#flagSets.push(flags) - 1;
  }

  async *fetch(uids: readonly number[] | Uint32Array, want: Want): AsyncGenerator<readonly Fetched[]> {
    const asked = Object.entries(want).filter(([, wanted]) => wanted);
    this.calls.push(`fetch ${[...uids].join(',')} ${asked.map(([name]) => name).join(' ')}`.trimEnd());
    const { batch = 2 } = this.#behaviour;
    const found = [...uids].flatMap((uid) => this.#contents.filter((c) => c.uid === uid && c.vanished !== true));
    for (let at = 0; at < found.length; at += batch) {
      await null;
      yield found.slice(at, at + batch).map((content) => this.#fetched(content, want));
    }
  }

  #fetched({ uid, message, prefix = '' }: Content, want: Want): Fetched {
    const summarizer = new Summarizer();
    summarizer.push(Buffer.from(message, 'latin1'));
    const { envelope, bodyStructure, body, commonFields, parts } = summarizer.end();
    const has = (name: keyof Want) => want[name] === true && this.#behaviour.without?.includes(name) !== true;
    const shown = Buffer.from(prefix + message, 'latin1');
    return {
      uid,
      size: shown.length,
      prefixSize: prefix.length,
      ...(has('envelope') && { envelope }),
      ...(has('bodyStructure') && { bodyStructure }),
      ...(has('body') && { body }),
      ...(has('commonFields') && { commonFields: Buffer.concat([Buffer.from(prefix, 'latin1'), commonFields]) }),
      ...(has('parts') && { parts }),
      read: (offset, length) => this.#read(shown, offset, length),
    };
  }

  async *#read(shown: Buffer, offset: number, length: number): AsyncGenerator<Uint8Array> {
    const { piece = 7, failsAt = Number.POSITIVE_INFINITY, endsAt = Number.POSITIVE_INFINITY } = this.#behaviour;
    this.open++;
    try {
      for (let at = offset; at < Math.min(offset + length, endsAt); at += piece) {
        await null;
        if (at + piece > failsAt) throw new Error('The disk is gone');
        const octets = shown.subarray(at, Math.min(at + piece, offset + length, endsAt));
        this.octetsRead += octets.length;
        yield octets;
      }
    } finally {
      this.open--;
    }
  }

  async store(targets: Targets, change: StoreChange): Promise<Stored> {
    this.calls.push(`store ${targets.uids.join(',')} ${change.op} ${change.flags.join(' ')}`);
    for (const uid of targets.uids) {
      const at = this.view.uids.indexOf(uid);
      const flags = `${this.#flagSets[this.view.flagSet[at]!]} ${change.flags.join(' ')}`.trim();
      this.view.flagSet[at] = this.#setOf(flags);
      this.view.modSeqs[at] = 1000;
    }
    return { modified: [] };
  }

  async refresh(): Promise<void> {}
  onChange(): () => void {
    return () => undefined;
  }
  takeNudge(): boolean {
    return false;
  }
  copy(): Promise<Transferred> {
    return Promise.reject(new Error('Not here'));
  }
  move(): Promise<Transferred> {
    return Promise.reject(new Error('Not here'));
  }
  expunge(): Promise<void> {
    return Promise.reject(new Error('Not here'));
  }
  close(): void {}
}

export class KeptOutput implements Output {
  readonly #pieces: Uint8Array[] = [];
  readonly #slow: boolean;
  /** How often a writer had to wait. */
  waits = 0;

  /** `slow`: the client takes nothing before the next turn. */
  constructor(slow = false) {
    this.#slow = slow;
  }
  /** What was written, one character an octet. */
  get written(): string {
    return Buffer.concat(this.#pieces).toString('latin1');
  }
  get octets(): number {
    return this.#pieces.reduce((sum, piece) => sum + piece.length, 0);
  }
  text(text: string): void {
    this.#pieces.push(Buffer.from(text));
  }
  bytes(bytes: Uint8Array): void {
    this.#pieces.push(Uint8Array.from(bytes));
  }
  number(value: number): void {
    this.text(String(value));
  }
  ready(): Promise<void> | undefined {
    if (!this.#slow) return undefined;
    this.waits++;
    return new Promise((resolve) => setImmediate(resolve));
  }
}
