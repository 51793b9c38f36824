/**
 * SELECT and EXAMINE: RFC 3501 §6.3.1, §6.3.2; CONDSTORE as a parameter and HIGHESTMODSEQ, RFC 7162 §3.1.2, §3.1.8.
 *
 * The view's count, UIDs and mod-sequence are read in one go, without an await between them: what comes later is told as a change.
 */
import { Bad } from '../errors.ts';
import { Selected } from '../selected.ts';
import type { Command, Context } from './command.ts';

interface Opening {
  readonly folder: string;
  readonly condstore: boolean;
}

/** Messages looked at for [UNSEEN n]; RFC 3501 §7.1 lets it be left out, and SELECT costs the same in any mailbox. */
const unseenSearched = 100_000;

function opening(name: string, readOnly: boolean): Command<Opening> {
  return {
    name,
    states: ['authenticated', 'selected'],
    parse(args) {
      const folder = args.sp().mailbox();
      let condstore = false;
      if (args.tryChar(' ')) {
        args.list(() => {
          // RFC 4466 §2.1: parameters nobody knows are refused.
          if (args.keyword() !== 'CONDSTORE') throw new Bad('Only CONDSTORE is known here');
          condstore = true;
        });
      }
      return { folder, condstore };
    },
    async run({ folder, condstore }, ctx) {
      // RFC 3501 §6.3.1: the old mailbox is left first, also if the new one cannot be entered.
      ctx.select(undefined);
      if (condstore) ctx.condstore = true;
      const mailbox = await ctx.session.open(folder, readOnly);
      const selected = new Selected(mailbox, readOnly);
      ctx.select(selected);
      introduce(selected, ctx);
      return selected.readOnly ? ctx.ok('Opened, to read only', 'READ-ONLY') : ctx.ok('Opened', 'READ-WRITE');
    },
  };
}

export const select = opening('SELECT', false);
export const examine = opening('EXAMINE', true);

function introduce(selected: Selected, { out }: Context): void {
  const { mailbox, count } = selected;
  const { view } = mailbox;
  const permanent = selected.readOnly ? [] : mailbox.permanentFlags;
  out.text(`* FLAGS (${selected.flags})\r\n`);
  out.text(`* OK [PERMANENTFLAGS (${permanent.join(' ')})] What is kept\r\n`);
  out.text(`* ${count} EXISTS\r\n* 0 RECENT\r\n`);
  const unseen = firstUnseen(selected);
  if (unseen > 0) out.text(`* OK [UNSEEN ${unseen}] The first not seen\r\n`);
  out.text(`* OK [UIDVALIDITY ${mailbox.uidValidity}] UIDs hold\r\n`);
  out.text(`* OK [UIDNEXT ${view.uidNext}] The next UID\r\n`);
  out.text(`* OK [HIGHESTMODSEQ ${Math.max(1, view.highestModSeq)}] The last change\r\n`);
}

/** Its message number; 0 if there is none, or none near enough. */
function firstUnseen(selected: Selected): number {
  const { view } = selected.mailbox;
  const isSeen = view.flagSets.map((flags) => /(?:^| )\\Seen(?: |$)/.test(flags));
  const upTo = Math.min(selected.count, unseenSearched);
  for (let i = 0; i < upTo; i++) if (!isSeen[view.flagSet[i]!]) return i + 1;
  return 0;
}
