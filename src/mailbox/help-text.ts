/**
 * The one message in INBOX: what the folders are for, in words. A new text is a new UID (DESIGN §7.7), so nothing may
 * stand in it that changes by itself.
 */
import { createHash } from 'node:crypto';
import type { Scope } from '#store/model';
import type { Who, World } from './account.ts';

const whose = (scope: Scope): string => {
  switch (scope.level) {
    case 'global':
      return 'of everybody';
    case 'domain':
      return `of everybody at ${scope.domain}`;
    case 'recipient':
      return 'addressed to you';
  }
};

function body(world: Pick<World, 'undoMs' | 'outgoingFolder'>, { scope }: Who): readonly string[] {
  const seconds = Math.round(world.undoMs / 1000);
  return [
    'Mail that looked dangerous or unwanted is held here instead of being delivered.',
    `You see the mail ${whose(scope)}. Nothing that you open here has been delivered.`,
    '',
    'Look into',
    '',
    '  Caught               what was held. Opening a message, flags and "read" marks',
    '                       change nothing for anybody else.',
    ...(world.outgoingFolder
      ? [
          scope.level === 'recipient'
            ? '  Caught (Outgoing)    mail that you sent and that was held on its way out.'
            : '  Caught (Outgoing)    mail sent from here that was held on its way out.',
        ]
      : []),
    '  Training Requested   delivered mail about which somebody is asked: spam or not?',
    '  Trash                what was discarded. Move it back to restore it.',
    '',
    'To act on messages, drag them (or move, or copy them) onto',
    '',
    '  Release              deliver to the person it was addressed to.',
    '  Release & Train      the same, and the filter learns that it was no spam.',
    '  Spam                 the filter learns that it is spam. Nothing is delivered.',
    '  Not Spam             the filter learns that it is no spam. Nothing is delivered.',
    '  Trash                discard it. The filter learns nothing.',
    '',
    'These folders look empty: what is dropped on one is on its way at once.',
    ...(seconds > 0
      ? [`Moving a message back within ${seconds} seconds (Undo in your mail program) calls`, 'that off.']
      : []),
    '',
    'A message that could not be delivered comes back to where it was, with the reason',
    'in its header X-Lazaret-Status. Mail from elsewhere can be put on Spam or Not Spam,',
    'too; it can never be released.',
    ...(scope.level === 'recipient' ? [] : ['', 'A message for several people stands here once for each of them.']),
  ];
}

/** Changes if and only if the text does. */
export function helpHash(world: World, who: Who): string {
  return createHash('sha256')
    .update([world.hostname, who.actor.account, ...body(world, who)].join('\n'))
    .digest('hex');
}

export function renderHelp(world: World, who: Who, date: Date): Uint8Array {
  const to = who.actor.account;
  const lines = [
    `Date: ${date.toUTCString().replace('GMT', '+0000')}`,
    `From: "Quarantine" <lazaret@${world.hostname}>`,
    // RFC 5322 §3.4: an account that is no address is a group without members, its name in quotes.
    `To: ${to.includes('@') ? to : `"${to.replace(/["\\]/g, '\\$&')}":;`}`,
    'Subject: How this quarantine works',
    `Message-ID: <help-${helpHash(world, who).slice(0, 20)}@${world.hostname}>`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
    'Auto-Submitted: auto-generated',
    '',
    ...body(world, who),
    '',
  ];
  return Buffer.from(lines.join('\r\n'));
}
