/** What the demo prints: one screen with what to type (80 columns, 24 lines), then a line for each thing that happens. */
import { cleanLine } from '#app/lib/terminal';
import type { ProductEvent } from '#app/observe/events';
import { folderOf, folders } from '#app/quarantine/folders';

export interface Login {
  readonly name: string;
  readonly password: string;
  readonly sees: string;
}

export interface Place {
  readonly imap: number;
  readonly imaps: number;
  readonly lmtp: number;
  readonly smtp: number;
  readonly folder: string;
  readonly delivered: string;
  readonly learned: string;
}

export function screen(place: Place, logins: readonly Login[], waiting: number): string {
  const width = Math.max(...logins.map(({ name }) => name.length));
  return [
    '',
    `  Lazaret is running. ${waiting} messages are waiting in quarantine.`,
    '',
    '  In Thunderbird: Account settings → Add mail account → Configure manually',
    '',
    `    incoming server   IMAP, 127.0.0.1, port ${place.imaps} SSL/TLS, or port ${place.imap} STARTTLS`,
    '    authentication    normal password; accept the certificate, a self-signed one',
    '    outgoing server   any that you have: nothing is sent',
    '',
    `    ${'user name'.padEnd(width)}   password`,
    ...logins.map(({ name, password, sees }) => `    ${name.padEnd(width)}   ${password}   sees ${sees}`),
    '',
    '  Drag messages from Caught onto Release, Release & Train, Spam, Not Spam or',
    '  Trash. For ten seconds Ctrl+Z takes it back. One more arrives every 30 s.',
    '',
    `    released mail     ${place.delivered}`,
    `    what was learned  ${place.learned}`,
    `    store             ${place.folder}`,
    `    hand-over         LMTP 127.0.0.1:${place.lmtp}, SMTP 127.0.0.1:${place.smtp}`,
    '',
    '  Ctrl-C ends it.',
    '',
  ].join('\n');
}

/** `released  17  "Invoice for March"  ada@harbour.example  250 2.0.0 Ok`; undefined for what is not worth a line. */
export function line(event: ProductEvent): string | undefined {
  switch (event.kind) {
    case 'arrived':
      return row('arrived', event.entryId, event.subject, event.owner, event.reason);
    case 'repeated':
    case 'login-refused':
    case 'put-off':
    case 'not-wanted':
      return undefined;
    case 'handed-back':
      return row('handed back', event.entryId, event.subject, event.owner, 'the filter does not let it through');
    case 'dropped':
      return `dropped  ${event.count} on ${folderName(event.action)}  ${cleanLine(event.account)}`;
    case 'login':
      return `login  ${cleanLine(event.account)}  from ${event.address}`;
    default:
      return row(event.kind.replace('-', ' '), event.entryId, event.subject, event.owner, event.said);
  }
}

const folderName = (action: string) => folders.find(({ role }) => role === action)?.name ?? folderOf('trash').name;

function row(what: string, entryId: number | undefined, subject: string, owner: string, said: string): string {
  const about = cleanLine(subject);
  return [what, `${entryId ?? '-'}`, `"${about}"`, owner || '(nobody)', cleanLine(said)].join('  ');
}
