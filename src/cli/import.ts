/**
 * `lazaret import`: mail from files, as if a filter had handed it over. May be run again, also after it was interrupted:
 * what is there already is not added twice, because an import always folds (DESIGN §7.9).
 */
import { cleanLine } from '#app/lib/terminal';
import { asJson, Failure, UsageError, type Verb } from './verb.ts';
import { verdictIn, verdictOptions } from './verdict.ts';

const directions = ['auto', 'incoming', 'outgoing'] as const;

export const importMail: Verb = {
  name: 'import',
  summary: 'import mail from files: eml, mbox, Maildir, folders of them',
  about:
    'Dates come from the files (of an mbox: from its From lines), flags from the names in a Maildir, the sender from --from, ' +
    "else a From line or Return-Path. A filter's block on top is read as at a hand-over. Can be run again: nothing is added\n" +
    'twice. In a folder, what does not look like mail is skipped and told.',
  arguments: [{ name: 'path', help: 'a file or a folder', many: true }],
  options: [
    { flags: '--rcpt <address>', help: 'whom it was sent to; may be given again', many: true },
    { flags: '--from <address>', help: 'the envelope sender' },
    { flags: '--direction <way>', help: 'told from sender and recipient if not given', choices: directions },
    ...verdictOptions,
  ],
  examples: [
    ['lazaret import old-quarantine/ --rcpt ada@harbour.example', 'every mail in a folder and the folders in it'],
    ['lazaret import spam.mbox --rcpt ben@quay.example --from news@shop.example --reason spam', 'an mbox file'],
    ['lazaret import ~/Maildir/.Junk --rcpt ada@harbour.example', 'a Maildir with its flags'],
  ],
  async run(call) {
    const recipients = call.texts('rcpt').map((address) => ({ address }));
    if (recipients.length === 0) throw new UsageError('--rcpt is needed: whom was it sent to?');
    const from = call.text('from');
    const verdict = verdictIn(call);
    const direction = directions.find((one) => one === call.text('direction')) ?? 'auto';
    const [{ withTools }, { findMail, messagesOf }, { withCrlf }, { Progress }] = await Promise.all([
      import('./tools.ts'),
      import('#app/files/mail-files'),
      import('#app/files/line-ends'),
      import('./progress.ts'),
    ]);
    const { files, skipped } = await findMail(call.arguments).catch((error: NodeJS.ErrnoException) => {
      const reason = error.code === 'ENOENT' ? 'there is no such file or folder' : (error.code ?? error.message);
      throw new Failure(`${error.path ?? 'a path'} cannot be read: ${reason}`, { cause: error });
    });
    return withTools(call, async ({ admit }) => {
      const progress = new Progress(
        'importing',
        files.reduce((sum, { size }) => sum + size, 0),
      );
      const counts = { imported: 0, known: 0, failed: 0 };
      const problems: string[] = [];
      for (const file of files) {
        let name = file.path;
        try {
          for await (const mail of messagesOf(file, (octets) => progress.add(octets))) {
            name = mail.name;
            const admitted = await admit({
              source: withCrlf(mail.source),
              sender: from ?? mail.sender,
              recipients,
              params: {},
              direction,
              filter: 'auto',
              internalDate: mail.date,
              flags: mail.flags,
              ...(verdict ? { verdict } : {}),
              repeat: 'import',
            });
            if (admitted.some(({ how }) => how !== 'repeat')) counts.imported++;
            else counts.known++;
          }
        } catch (error) {
          // The store's troubles meet every later message as well; a file's own only that file.
          if (typeof (error as NodeJS.ErrnoException).syscall !== 'string') throw error;
          counts.failed++;
          problems.push(`${cleanLine(name)}: ${(error as Error).message}`);
        }
      }
      progress.end();
      if (call.json) call.print(asJson({ ...counts, problems, skipped }));
      else {
        for (const path of skipped) call.note(`skipped ${cleanLine(path)}: it does not look like mail`);
        for (const problem of problems) call.note(problem);
        call.print(`imported ${counts.imported}, already there ${counts.known}, failed ${counts.failed}\n`);
      }
      return counts.failed === 0 ? 0 : 1;
    });
  },
};
