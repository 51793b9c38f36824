/** What `import` and `watch` share: how mail out of files is to be understood. */
import type { IntakeFilter } from '#app/config/schema';
import type { Handling } from '#app/files/hand-over';
import { asFilterSetting, filterForm } from '#app/lib/filter-names';
import { type Call, UsageError } from './verb.ts';
import { verdictIn, verdictOptions } from './verdict.ts';

const directions = ['auto', 'incoming', 'outgoing'] as const;

export const handlingOptions = [
  { flags: '--rcpt <address>', help: 'whom it was sent to; may be given again', many: true },
  {
    flags: '--rcpt-field <name>',
    help: 'the field in which the server that wrote the files has put the recipients, like Delivered-To',
  },
  { flags: '--from <address>', help: 'the envelope sender' },
  {
    flags: '--filter <name>',
    help: 'the filter that wrote the fields on top; amavis and rspamd are believed about the recipients, too',
  },
  { flags: '--direction <way>', help: 'told from sender and recipient if not given', choices: directions },
  ...verdictOptions,
] as const;

/** @throws UsageError */
export async function handlingIn(call: Call): Promise<Handling<IntakeFilter>> {
  const config = await call.config();
  const recipients = call.texts('rcpt');
  const recipientField = call.text('rcpt-field');
  const typed = call.text('filter');
  const filter = asFilterSetting(typed ?? 'auto');
  if (!filter) throw new UsageError(`--filter: expected one of ${filterForm}, found "${typed}"`);
  if (recipientField !== undefined && !/^[!-9;-~]{1,100}$/.test(recipientField))
    throw new UsageError(`--rcpt-field: expected the name of a field, like Delivered-To, found "${recipientField}"`);
  if (recipients.length > 0 && recipientField !== undefined)
    throw new UsageError('--rcpt and --rcpt-field: give one of them');
  return {
    recipients,
    recipientField,
    sender: call.text('from'),
    filter,
    direction: directions.find((one) => one === call.text('direction')) ?? 'auto',
    verdict: verdictIn(call),
    maxMessageBytes: config.intake.maxMessageBytes,
  };
}
