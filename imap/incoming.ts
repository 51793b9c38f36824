/**
 * The message of an APPEND on its way in: octets go from the connection to whoever reads them, as they come. What must stay true: its
 * end is only told when the command's own end was seen, so that a message is never kept whose command is refused.
 */
import type { Incoming } from './commands/command.ts';
import { Bad, Bye } from './errors.ts';
import type { Item } from './wire/lexer.ts';

/** What of the connection a message being read needs. */
export interface MessageInput {
  begin(): void;
  take(): Buffer | 'end' | undefined;
  next(): Item | undefined;
  more(): Promise<void>;
  refuse(): void;
}

export class Message implements Incoming {
  readonly size: number;
  readonly #input: MessageInput;
  state: 'waiting' | 'coming' | 'complete' = 'waiting';

  constructor(size: number, input: MessageInput) {
    this.size = size;
    this.#input = input;
  }

  async *take(): AsyncIterable<Uint8Array> {
    if (this.state !== 'waiting') throw new Error('A message can be read once');
    this.state = 'coming';
    this.#input.begin();
    for (;;) {
      const chunk = this.#input.take();
      if (chunk === 'end') break;
      if (chunk) yield chunk;
      else await this.#input.more();
    }
    // Whoever reads must not take the message for complete before the command is: only CRLF may follow (no MULTIAPPEND).
    for (;;) {
      const item = this.#input.next();
      if (!item) {
        await this.#input.more();
        continue;
      }
      if (item.kind === 'flood') throw new Bye('More than can be thrown away', 'TOOBIG');
      if (item.kind === 'literal' && item.waits) this.#input.refuse();
      if (item.kind !== 'literal' || item.waits) this.state = 'complete';
      if (item.kind === 'command' && item.bytes.length === 0) return;
      throw new Bad('One message, and nothing behind it');
    }
  }
}
