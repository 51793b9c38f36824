/** A SASL mechanism (RFC 4422) as AUTHENTICATE needs it: reads what the client sends, answers who wants to log in. */
import type { Credentials } from '../backend.ts';

export interface Mechanism {
  /** As in AUTH=NAME. */
  readonly name: string;
  /**
   * @param initial the initial response (RFC 4959), if there was one
   * @param ask sends a challenge, gives the answer; both without base64
   * @throws Bad on answers that are none
   */
  converse(initial: Buffer | undefined, ask: (challenge: string) => Promise<Buffer>): Promise<Credentials>;
}
