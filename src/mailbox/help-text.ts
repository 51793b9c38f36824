/**
 * The one message in INBOX: what the folders are for, in words. A new text is a new UID (DESIGN §7.7), so nothing may
 * stand in it that changes by itself.
 */
import { createHash } from 'node:crypto';
import { stepsLearned } from '#app/quarantine/actions';
import type { ActionName, Scope } from '#store/model';
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

function body(world: Pick<World, 'undoMs' | 'outgoingFolder' | 'learn'>, { scope }: Who): readonly string[] {
  const seconds = Math.round(world.undoMs / 1000);
  const learnsFrom = (action: ActionName) => stepsLearned(action, 'imap', world.learn) !== undefined;
  return [
    'Mail that looked dangerous or unwanted is held here instead of being',
    `delivered. You see the mail ${whose(scope)}.`,
    'Reading it here delivers nothing and tells nobody.',
    '',
    'To look into:',
    '',
    '  Caught               what is held.',
    ...(world.outgoingFolder
      ? [
          scope.level === 'recipient'
            ? '  Caught (Outgoing)    what you sent and is held on its way out.'
            : '  Caught (Outgoing)    what was sent and is held on its way out.',
        ]
      : []),
    '  Training Requested   delivered mail, and a question: is it spam?',
    '  Trash                what was discarded. Move it back to restore it.',
    '',
    'To act on messages, move or copy them (drag them) onto:',
    '',
    '  Release              deliver them to whom they were addressed.',
    ...(learnsFrom('release') ? ['                       The filter learns: no spam.'] : []),
    '  Release & Train      the same, and the filter learns: no spam.',
    '  Spam                 the filter learns: spam. Delivers nothing.',
    '  Not Spam             the filter learns: no spam. Delivers nothing.',
    `  Trash                discard them. The filter learns${learnsFrom('discard') ? ': spam.' : ' nothing.'}`,
    '',
    'All but Trash always look empty: what is dropped on them is on its',
    'way at once.',
    ...(seconds > 0
      ? [
          `Within ${seconds} seconds a message can still be moved back (Undo in your`,
          'mail program), as if nothing had happened.',
        ]
      : []),
    '',
    'A message that could not be delivered comes back to where it was, and',
    'its header X-Lazaret-Status says why. Mail from elsewhere can be put on',
    'Spam and Not Spam, too; it can never be released.',
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
