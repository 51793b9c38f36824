/** What the doctor finds, in plain words: what was looked at, how it is, and what to do about it. */
export type State = 'ok' | 'warning' | 'fault' | 'skipped';

export interface Finding {
  /** One word or two: store, listener, next hop, trainer, probe … */
  readonly check: string;
  /** Which of them: `lmtp 127.0.0.1:24`. */
  readonly what?: string;
  readonly state: State;
  readonly said: string;
  /** For warnings and faults. */
  readonly todo?: string;
}

/** A fault that ends a check, with what to do. */
export class Fault extends Error {
  readonly todo: string;

  constructor(message: string, todo: string) {
    super(message);
    this.name = 'Fault';
    this.todo = todo;
  }
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'it closed the connection',
  EPIPE: 'it closed the connection',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'its name cannot be looked up just now',
  ETIMEDOUT: 'it does not answer',
  EACCES: 'permission denied',
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'it is no folder',
};

/** An error in words for people. */
export function whyNot(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return (code !== undefined && words[code]) || message || String(error);
}
