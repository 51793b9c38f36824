/** Reports that users mail in (`training.reports`): the role `intake` takes them with other mail. */
import { Reports } from '#app/ingest/reports';
import { networks } from '#app/lib/networks';
import { splitPrefix } from '#app/mailbox/appended-prefix';
import type { Ground } from './ground.ts';

/** Undefined: no address is set up for them. */
export function buildReports({ config, store, book, onEvent, log }: Ground): Reports | undefined {
  const { reports } = config.training;
  if (reports.spam.length + reports.ham.length === 0) return undefined;
  return new Reports({
    ...reports,
    store,
    book,
    hostname: config.hostname,
    isTrusted: networks(config.intake.trusted),
    withoutOwnLines: async (source) => (await splitPrefix(source)).rest,
    onEvent,
    log,
  });
}
