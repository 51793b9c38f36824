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

const ofFiles = /^(?:open|read|l?stat|fstat|scandir|opendir|link|unlink|rename|mkdir|copyfile|realpath|fsync)$/;
const ofMachine = /^(?:ENOSPC|EDQUOT|EMFILE|ENFILE|EIO|ENOMEM)$/;

/** Whether an error is about one file alone: BadMail, or a file that cannot be read. */
export function isAboutOneFile(error: unknown): error is Error {
  if (error instanceof BadMail) return true;
  if (!(error instanceof Error) || 'temporary' in error) return false;
  const { syscall, code } = error as NodeJS.ErrnoException;
  return typeof syscall === 'string' && ofFiles.test(syscall) && !ofMachine.test(code ?? '');
}
