/** Small words that several files of the engine use. */

/** RFC 3501 §3. The fourth state, logout, is an ended connection. */
export type State = 'not authenticated' | 'authenticated' | 'selected';

/** What a tagged OK says. */
export interface Answer {
  /** Without brackets. */
  readonly code?: string;
  readonly text: string;
}

/** The log as the engine sees it: facts, then a sentence. Never given a password or a message's bytes. */
export interface Log {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** Free text of a response (RFC 3501 `text`): one line, whatever was handed to us. */
export function oneLine(text: string): string {
  return text.replace(/[\x00-\x1f\x7f]+/g, ' ').trim() || 'No more is known';
}
