/**
 * What a command is: its name, where it is allowed and what it may cause as facts, and how it is read and run. One file each, all
 * listed in index.ts. dispatch.ts does everything that is the same for all of them.
 */
import type { Credentials, Session } from '../backend.ts';
import type { Selected } from '../selected.ts';
import type { Answer, State } from '../types.ts';
import type { Args } from '../wire/args.ts';
import type { Output } from '../wire/output.ts';

export interface Command<A> {
  /** As in the RFC; `UID` is no command but a word before one. */
  readonly name: string;
  readonly states: readonly State[];
  /** Answers to `UID NAME` too. */
  readonly uid?: 'optional';
  /** dispatch may let EXPUNGE out around this command. */
  readonly mayExpunge?: boolean;
  /** The sync point behind it asks the store, instead of taking the view as it is. */
  readonly refreshes?: boolean;
  /** Its last literal is a message, which comes in as it is read (APPEND). */
  readonly streams?: boolean;

  /**
   * Reads what follows the name, the leading blank included. @throws Bad
   *
   * Methods and not properties on purpose: so a list can hold commands with arguments of different types.
   */
  parse(args: Args, about: { readonly uid: boolean }): A;
  /** Does it and writes the untagged answers. Thrown No, Bad and Bye become the tagged answer. */
  run(args: A, ctx: Context): Promise<Answer> | Answer;
}

/** The message of an APPEND, which has not come in yet. */
export interface Incoming {
  readonly size: number;
  /** Sends `+` if the client waits for it, and gives the octets as they come. Ends only when the command's own end was seen. @throws Bad */
  take(): AsyncIterable<Uint8Array>;
}

/** What a running command has to do with. */
export interface Context {
  readonly tag: string;
  /** UID came before its name. */
  readonly uid: boolean;
  readonly out: Output;
  readonly state: State;
  /** @throws Bad in a state that has none */
  readonly session: Session;
  readonly selected: Selected;
  readonly incoming: Incoming;
  readonly secure: boolean;
  /** Passwords may be sent on this connection. */
  readonly mayLogin: boolean;
  readonly capabilities: string;
  readonly limits: { readonly appendOctets: number };
  readonly product: { readonly name: string; readonly version: string };
  /** RFC 7162 §3.1: the client has shown that it knows mod-sequences. */
  condstore: boolean;

  ok(text: string, code?: string): Answer;
  /** Writes what the backend wants people to know (`* OK [ALERT]`). dispatch calls it before each tagged answer. */
  notices(): void;
  /** An untagged OK that goes out at once, while the command works on. */
  progress(sentence: string): void;
  /** Sends `+ text` and waits for the client's next line. */
  ask(text: string): Promise<Buffer>;
  /** Tells what happens in the selected mailbox, until the client's next line. */
  idle(): Promise<Buffer>;
  login(credentials: Credentials): Promise<void>;
  /** Leaves the selected mailbox, if any; and enters this one. */
  select(selected: Selected | undefined): void;
  /** After the tagged answer: TLS. */
  startTls(): void;
  /** After the tagged answer: the end. */
  logout(): void;
}
