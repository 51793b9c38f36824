/**
 * What a client sends, item by item, up to the tagged answer: whole commands, those that end in a literal, the message of an APPEND
 * while it comes in, and what is thrown away because it was refused or too large.
 *
 * What must stay true: each command gets one tagged answer, also one that could not be read to its end; a literal is invited only
 * after what stands before it was found good; octets of a refused literal are never read as commands.
 */
import type { Context } from './commands/command.ts';
import { type Call, type Outcome, perform, read, refusalOf, tagOf, writeAnswer } from './dispatch.ts';
import { Bad, Bye } from './errors.ts';
import { Message } from './incoming.ts';
import type { Limits } from './limits.ts';
import type { Log } from './types.ts';
import type { Item, Lexer } from './wire/lexer.ts';
import type { Writer } from './wire/writer.ts';

/** The connection, as far as it concerns whoever reads commands from it. */
export interface Line extends Context {
  tag: string;
  uid: boolean;
  readonly limits: Limits;
  readonly out: Writer;
  /** Resolves when there is more input. @throws Gone */
  more(): Promise<void>;
}

/** Who is told how it went. */
export interface Observer {
  readonly log: Log;
  commandEnded(name: string | undefined, ms: number, outcome: Outcome | undefined): void;
}

export class CommandReader {
  readonly #line: Line;
  readonly #lexer: Lexer;
  readonly #log: Log;
  readonly #observer: Observer;
  #incoming: Message | undefined;
  #badInARow = 0;
  /** Octets of literals gathered for the current command. */
  #literals = 0;
  /** What a command whose rest is being thrown away gets at its end; null if it has its answer. */
  #refusal: { outcome: 'NO' | 'BAD'; code?: string; text: string } | null | undefined;

  constructor(line: Line, lexer: Lexer, observer: Observer) {
    this.#line = line;
    this.#lexer = lexer;
    this.#log = observer.log;
    this.#observer = observer;
  }

  /** The message that the running command takes, if it takes one. */
  get incoming(): Message | undefined {
    return this.#incoming;
  }

  /** Does what this item asks for. @throws Bye, Gone */
  async take(item: Item): Promise<void> {
    switch (item.kind) {
      case 'flood':
        throw new Bye('More than can be thrown away', 'TOOBIG');
      case 'spoiled':
        this.#spoiled(item.head, item.reason);
        break;
      case 'literal':
        await this.#literal(item);
        break;
      case 'command':
        this.#literals = 0;
        await this.#command(item.bytes);
        break;
    }
    this.#line.out.flush();
  }

  async #command(bytes: Buffer): Promise<void> {
    let call: Call;
    try {
      call = read(bytes, this.#line.state);
      if (call.command.streams) throw new Bad('A literal was expected');
    } catch (error) {
      this.#refuse(tagOf(bytes), error);
      return;
    }
    this.#count(await this.#perform(call));
  }

  async #perform(call: Call): Promise<Outcome> {
    this.#line.tag = call.tag;
    this.#line.uid = call.uid;
    const began = performance.now();
    let outcome: Outcome | undefined;
    try {
      outcome = await perform(call, this.#line, this.#log);
      return outcome;
    } finally {
      this.#observer.commandEnded(call.command.name, performance.now() - began, outcome);
    }
  }

  /** RFC 7888 §4: `{n}` waits for our word, `{n+}` comes whether we want it or not. */
  async #literal(item: Extract<Item, { kind: 'literal' }>): Promise<void> {
    const { limits } = this.#line;
    try {
      const call = read(item.bytes, this.#line.state);
      if (call.command.streams && !call.args.onlyLiteralLeft()) {
        this.#literals = 0;
        await this.#message(call, item);
        return;
      }
      this.#literals += item.size;
      if (
        this.#literals > (this.#line.state === 'not authenticated' ? limits.earlyLiteralOctets : limits.literalOctets)
      )
        throw new Bad('This literal is too large here', 'TOOBIG');
    } catch (error) {
      this.#literals = 0;
      if (item.waits) {
        this.#lexer.refuse();
        this.#refuse(tagOf(item.bytes), error);
      } else {
        this.#refusal = refusalOf(error, 'literal', this.#log);
        this.#lexer.skip('');
      }
      return;
    }
    this.#lexer.accept();
    if (item.waits) this.#line.out.text('+ Go on\r\n');
  }

  /** APPEND: its last literal is read while the command runs. */
  async #message(call: Call, item: Extract<Item, { kind: 'literal' }>): Promise<void> {
    const message = new Message(item.size, {
      begin: () => {
        this.#lexer.stream();
        if (!item.waits) return;
        this.#line.out.text('+ Go on\r\n');
        this.#line.out.flush();
      },
      take: () => this.#lexer.take(),
      next: () => this.#lexer.next(),
      more: () => this.#line.more(),
      refuse: () => this.#lexer.refuse(),
    });
    this.#incoming = message;
    try {
      this.#count(await this.#perform(call));
    } finally {
      this.#incoming = undefined;
      // It has its answer; what is left of it is read and thrown away.
      if (message.state === 'waiting' && item.waits) this.#lexer.refuse();
      else if (message.state !== 'complete') {
        this.#refusal = null;
        this.#lexer.skip('');
      }
    }
  }

  #spoiled(head: Buffer, reason: string): void {
    const refusal = this.#refusal;
    this.#refusal = undefined;
    this.#literals = 0;
    if (refusal === null) return;
    const tag = tagOf(head);
    if (refusal) {
      writeAnswer(this.#line, tag, refusal.outcome, refusal);
      this.#refused(refusal.outcome);
    } else {
      this.#refuse(tag, new Bad(reason, 'TOOBIG'));
    }
  }

  #refuse(tag: string, error: unknown): void {
    const refusal = refusalOf(error, 'parse', this.#log);
    writeAnswer(this.#line, tag, refusal.outcome, refusal);
    this.#refused(refusal.outcome);
  }

  /** One that never ran. */
  #refused(outcome: Outcome): void {
    this.#observer.commandEnded(undefined, 0, outcome);
    this.#count(outcome);
  }

  #count(outcome: Outcome): void {
    this.#badInARow = outcome === 'BAD' ? this.#badInARow + 1 : 0;
    if (this.#badInARow >= this.#line.limits.badCommands) throw new Bye('Too many bad commands');
  }
}
