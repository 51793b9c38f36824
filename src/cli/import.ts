/**
 * `lazaret import`: mail from files, as if a filter had handed it over. May be run again, also after it was interrupted:
 * what is there already is not added twice, because an import always folds (DESIGN §7.9).
 */
import type { FoundMail } from '#app/files/mail-files';
import { isAboutOneFile } from '#app/lib/bad-mail';
import { cleanLine } from '#app/lib/terminal';
import { handlingIn, handlingOptions } from './mail-source.ts';
import { asJson, type Call, Failure, UsageError, type Verb } from './verb.ts';

export const importMail: Verb = {
  name: 'import',
  summary: 'import mail from files: eml, mbox, Maildir, queue files, folders of them, amavis',
  about:
    'Dates come from the files (of an mbox: from its From lines), flags from the names in a Maildir, the sender from --from, ' +
    'else a From line, Return-Path or queue file. Gzipped files are unpacked. Whom it was sent to say --rcpt, --rcpt-field, ' +
    "a Postfix queue file, or with --filter amavis the filter's fields on top; a filter's findings are read as at a hand-over. " +
    'The dated folders of Mailborder, MailScanner and Haraka are known. Can be run again: nothing is added\n' +
    'twice. In a folder, what does not look like mail is skipped and told.\n\n' +
    '--amavis takes a quarantine that stays with amavis: its folder, its database, or both, given one after the other. Of ' +
    'files the database knows who still waits for them and the secret by which amavis releases them. It is an SQLite file, ' +
    'postgres://USER:PASSWORD@HOST/DATABASE, or mysql:// alike; better than in the line, where others may see it, the ' +
    'password stands in PGPASSWORD or MYSQL_PWD. ?sslmode=verify-full looks at the certificate, ?host=/run/postgresql or ' +
    '?socket=FILE asks on a socket.',
  arguments: [{ name: 'path', help: 'a file or a folder; `-`: standard input', many: true, optional: true }],
  options: [
    ...handlingOptions,
    { flags: '--amavis <place>', help: "amavis' quarantine folder or database; may be given again", many: true },
  ],
  examples: [
    ['lazaret import old-quarantine/ --rcpt ada@harbour.example', 'every mail in a folder and the folders in it'],
    ['lazaret import spam.mbox --rcpt ben@quay.example --from news@shop.example --reason spam', 'an mbox file'],
    ['lazaret import ~/Maildir/.Junk --rcpt-field Delivered-To', 'a Maildir with its flags'],
    ['lazaret import /var/spool/postfix/hold', "Postfix's hold queue, its envelopes with it"],
    [
      'lazaret import --amavis /var/lib/amavis/virusmails --amavis sqlite:/var/lib/amavis/log.db',
      'what amavis keeps, to be released by amavis',
    ],
    [
      'PGPASSWORD=… lazaret import --amavis postgres://lazaret@db.example/amavis?sslmode=verify-full',
      'from PostgreSQL',
    ],
  ],
  async run(call) {
    const places = call.texts('amavis');
    if (call.arguments.length === 0 && places.length === 0)
      throw new UsageError('Name a file or a folder, or give --amavis');
    const [handling, { withTools }, { findMail, messagesOf, messagesIn }, { handOver }, { Progress }] =
      await Promise.all([
        handlingIn(call),
        import('./tools.ts'),
        import('#app/files/mail-files'),
        import('#app/files/hand-over'),
        import('./progress.ts'),
      ]);
    const named = call.arguments.filter((path) => path !== '-');
    const { files, skipped, unread } = await findMail(named).catch(cannotRead);
    const isTold = handling.recipients.length > 0 || handling.recipientField !== undefined;
    const mayTell = isTold || handling.filter === 'amavis' || handling.filter === 'rspamd';
    if (!mayTell && (named.length < call.arguments.length || files.some(({ form }) => form !== 'queue-file')))
      throw new UsageError('--rcpt, --rcpt-field or --filter is needed: whom was it sent to?');
    const amavis = await openAmavis(places, call.env);
    const done = withTools(call, async ({ admit }) => {
      const progress = new Progress(
        'importing',
        [...files, ...amavis.files].reduce((sum, { size }) => sum + size, 0),
      );
      const counts = { imported: 0, known: 0, failed: 0 };
      const problems: string[] = [];
      const failed = (name: string, { message }: Error) => {
        counts.failed++;
        problems.push(`${cleanLine(name)}: ${cleanLine(message)}`);
      };
      for (const { path, error } of [...unread, ...amavis.unread]) failed(path, error);
      const take = async (mail: FoundMail, how = handling) => {
        const admitted = await admit(handOver(mail, how));
        if (admitted.some(({ how }) => how !== 'repeat')) counts.imported++;
        else counts.known++;
      };
      /** One place after the other; the store's troubles meet every later message as well, a file's own only that file. */
      const takeAll = async (name: string, found: AsyncIterable<FoundMail>, how = handling) => {
        let at = name;
        try {
          for await (const mail of found) {
            at = mail.name;
            await take(mail, how);
          }
        } catch (error) {
          if (!isAboutOneFile(error)) throw error;
          failed(at, error);
        }
      };
      const read = (octets: number) => progress.add(octets);
      for (const file of files) await takeAll(file.path, messagesOf(file, read));
      if (named.length < call.arguments.length)
        await takeAll('standard input', messagesIn(octets(call.stdin), new Date()));
      for await (const { name, mail, filter } of amavis.all(read))
        await takeAll(name, mail, isTold ? handling : { ...handling, filter });
      progress.end();
      const left = amavis.counts();
      if (call.json)
        call.print(
          asJson({ ...counts, problems, skipped: [...skipped, ...amavis.skipped], ...(left ? { left } : {}) }),
        );
      else {
        for (const path of [...skipped, ...amavis.skipped])
          call.note(`skipped ${cleanLine(path)}: it does not look like mail`);
        for (const problem of problems) call.note(problem);
        if (left && left.nobodyWaits > 0) call.note(`${left.nobodyWaits} of amavis' for which nobody waits any more`);
        if (left && left.elsewhere > 0)
          call.note(`${left.elsewhere} of amavis' are kept in files; give its folder with --amavis as well`);
        call.print(`imported ${counts.imported}, already there ${counts.known}, failed ${counts.failed}\n`);
      }
      return counts.failed === 0 ? 0 : 1;
    });
    return done.finally(amavis.close);
  },
};

function cannotRead(error: NodeJS.ErrnoException): never {
  const reason = error.code === 'ENOENT' ? 'there is no such file or folder' : (error.code ?? error.message);
  throw new Failure(`${error.path ?? 'a path'} cannot be read: ${reason}`, { cause: error });
}

async function* octets(stdin: Call['stdin']): AsyncGenerator<Uint8Array> {
  for await (const chunk of stdin) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
}

/** amavis' folder and database, as one list of messages. */
async function openAmavis(places: readonly string[], env: Call['env']) {
  const [{ AmavisDatabase, fileOfAmavis, mailOfRow }, { isTables }, { findMail, messagesOf }] = await Promise.all([
    import('#app/files/amavis'),
    import('#app/files/sql/tables'),
    import('#app/files/mail-files'),
  ]);
  const folders = places.filter((place) => !isTables(place));
  const databases = places.filter(isTables);
  if (databases.length > 1) throw new UsageError('--amavis: give no more than one database');
  const foreign = folders.find((place) => /^(?:sql|mysql|mariadb|postgres(?:ql)?|dbi|pg):/i.test(place));
  // Behind the scheme may stand a password.
  const scheme = foreign?.split(':', 1)[0];
  if (scheme !== undefined)
    throw new UsageError(
      `--amavis: write a database as sqlite:FILE, postgres://HOST/DATABASE or mysql://HOST/DATABASE; found a ${scheme}: address`,
    );
  const found = await Promise.all(
    folders.map(async (folder) => ({ folder, ...(await findMail([folder]).catch(cannotRead)) })),
  );
  const [place] = databases;
  const database = place === undefined ? undefined : await AmavisDatabase.open(place, env);
  const counts = { nobodyWaits: 0, elsewhere: 0 };

  async function* ofFile(
    file: (typeof found)[number]['files'][number],
    folder: string,
    read: (octets: number) => void,
  ) {
    for await (const mail of messagesOf(file, read)) {
      const kept = await fileOfAmavis(mail, file, folder, database);
      if (kept) yield kept;
      else counts.nobodyWaits++;
    }
  }
  async function* one(mail: FoundMail): AsyncGenerator<FoundMail> {
    yield mail;
  }
  return {
    files: found.flatMap(({ files }) => files),
    skipped: found.flatMap(({ skipped }) => skipped),
    unread: found.flatMap(({ unread }) => unread),
    counts: () => (places.length > 0 ? counts : undefined),
    async *all(read: (octets: number) => void) {
      for (const { folder, files } of found)
        for (const file of files)
          yield { name: file.path, mail: ofFile(file, folder, read), filter: 'amavis' as const };
      if (!database) return;
      for await (const row of database.rows()) {
        if (row.quarType === 'Q') {
          const mail = await mailOfRow(database, row);
          if (mail) yield { name: mail.name, mail: one(mail), filter: 'amavis' as const };
          else counts.nobodyWaits++;
        } else if (folders.length === 0 && /^[FZB]$/.test(row.quarType)) counts.elsewhere++;
      }
    },
    close: async () => database?.close(),
  };
}
