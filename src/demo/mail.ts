/**
 * The demo's messages: demo/mail/*.eml, each with its envelope and the verdict of a filter in index.json. Dates count from
 * the day on which a demo's folder was made, so that a second run hands over the very same bytes.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { DemoVerdict } from './filters.ts';

export interface DemoMail extends DemoVerdict {
  readonly name: string;
  readonly raw: Buffer;
  readonly date: Date;
  /** Not handed over by a filter but put where a person is asked to judge it. */
  readonly inject?: { readonly folder: 'Training Requested'; readonly flags: readonly string[] };
}

interface Listed {
  readonly file: string;
  readonly filter: DemoVerdict['filter'];
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly score?: number;
  readonly rules?: readonly (readonly [string, number])[];
  readonly alert?: string;
  readonly attachmentBytes?: number;
  readonly inject?: { readonly folder: 'Training Requested'; readonly flags: string };
}

/** All messages, oldest first, spread over the three days before `began`. */
export function demoMails(began: Date): readonly DemoMail[] {
  const folder = join(dirname(createRequire(import.meta.url).resolve('#package')), 'demo/mail');
  const listed = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as readonly Listed[];
  const stepMs = (3 * 24 * 3600_000) / listed.length;
  return listed.map((mail, at) => {
    const date = new Date(began.getTime() - (listed.length - at) * stepMs);
    const text = readFileSync(join(folder, mail.file), 'latin1').replaceAll('{{date}}', rfc5322(date));
    const whole = mail.attachmentBytes ? text.replace('{{attachment}}', attachment(mail.attachmentBytes)) : text;
    return {
      name: mail.file.replace(/^\d+-|\.eml$/g, ''),
      filter: mail.filter,
      sender: mail.sender,
      recipients: mail.recipients,
      score: mail.score ?? 0,
      rules: mail.rules ?? [],
      ...(mail.alert ? { alert: mail.alert } : {}),
      ...(mail.inject
        ? { inject: { folder: mail.inject.folder, flags: mail.inject.flags.split(' ').filter((flag) => flag) } }
        : {}),
      raw: Buffer.from(whole, 'latin1'),
      date,
    };
  });
}

/** One message again, as if it had just been sent: another Message-ID, the present date. */
export function again(mail: DemoMail, round: number): DemoMail {
  const date = new Date();
  const raw = mail.raw
    .toString('latin1')
    .replaceAll(rfc5322(mail.date), rfc5322(date))
    .replace(/^Message-ID: <demo-/m, `Message-ID: <demo-${date.getTime().toString(36)}-${round}-`);
  return { ...mail, raw: Buffer.from(raw, 'latin1'), date };
}

/** RFC 5322 §3.3 date-time, in UTC. */
export function rfc5322(date: Date): string {
  return date.toUTCString().replace('GMT', '+0000');
}

/** Base64 lines of that many octets that look like data and are always the same. */
function attachment(octets: number): string {
  const bytes = Buffer.alloc(octets);
  let block = createHash('sha256').update('lazaret demo').digest();
  for (let at = 0; at < octets; at += block.length) {
    block.copy(bytes, at);
    block = createHash('sha256').update(block).digest();
  }
  return bytes.toString('base64').replace(/.{76}/g, '$&\r\n').trimEnd();
}
