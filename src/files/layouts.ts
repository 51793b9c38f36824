/**
 * Folders in which filters keep what they caught, by date. What a place in them tells about a message, and what else lies
 * there.
 *
 *     2026/11/24/abc123-spam.eml         Mailborder: why, behind the message's id
 *     20261124/4FzR2x0abc/message        MailScanner: beside it the attachments it took out, which are no mail of their own
 *     20261124/spam/4FzR2x0abc           MailScanner: spam and nonspam are files
 *     20261124/B1946AC9-….1              Haraka (queue/quarantine); its Received says who sent it
 */
import { basename, dirname, sep } from 'node:path';
import type { Reason, Verdict } from '#store/model';

export interface Layout {
  readonly verdict?: Partial<Verdict>;
}

const mailborderReasons: Readonly<Record<string, Reason>> = {
  spam: 'spam',
  virus: 'virus',
  malware: 'virus',
  phish: 'phish',
  phishing: 'phish',
  policy: 'policy',
  content: 'policy',
  attachment: 'attachment',
  banned: 'banned',
  bulk: 'bulk',
  rule: 'rule',
  geoip: 'geoip',
  auth: 'auth',
  manual: 'manual',
};
const mailscannerReasons: Readonly<Record<string, Reason>> = { spam: 'spam', mcp: 'policy' };

export function layoutOf(path: string): Layout | undefined {
  const parts = path.split(sep);
  const [year = '', month = '', day = '', name = ''] = parts.slice(-4);
  const why = /-([a-z]{2,20})\.eml(?:\.gz)?$/.exec(name)?.[1] ?? '';
  if (/^\d{4}$/.test(year) && /^\d\d$/.test(month) && /^\d\d$/.test(day) && mailborderReasons[why])
    return { verdict: { reason: mailborderReasons[why], source: 'mailborder' } };
  const [date = '', kind = ''] = parts.slice(-3);
  if (isDate(date) && mailscannerReasons[kind])
    return { verdict: { reason: mailscannerReasons[kind], source: 'mailscanner' } };
  return undefined;
}

/** A folder of MailScanner's for one message. */
export const isOneMessage = (folder: string, names: readonly string[]): boolean =>
  names.includes('message') && isDate(basename(dirname(folder)));

const isDate = (name: string) => /^(?:19|20)\d\d[01]\d[0-3]\d$/.test(name);
