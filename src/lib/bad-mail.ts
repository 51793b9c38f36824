/**
 * Something is wrong with one message or one file: told, and the others go on. Everything else that is thrown while mail is
 * taken in (a full disk, a store that is gone) would meet the next message as well.
 */
export class BadMail extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BadMail';
  }
}

/** Whether an error is about this file alone: BadMail, a file that cannot be read, gzip data that are none. */
export function isAboutOneFile(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const { syscall, code } = error as NodeJS.ErrnoException;
  const ofMachine = code === 'ENOSPC' || code === 'EMFILE' || code === 'ENFILE' || code === 'EIO';
  return (
    error instanceof BadMail ||
    (typeof code === 'string' && code.startsWith('Z_')) ||
    (typeof syscall === 'string' && !ofMachine)
  );
}
