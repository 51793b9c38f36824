/**
 * The filters whose marks Lazaret can read, by the names they have in the settings.
 *
 * `amavis`, `rspamd`, `rspamd-milter` and `spamassassin` have places of their own in the header. Of all others the place is
 * one of two: `end`, the last run of their fields, where filters append; `top`, the run next to the topmost Received. Each
 * has the one that it is known for; `barracuda@end` names the other.
 */

export const handOverFilters = ['amavis', 'rspamd', 'rspamd-milter', 'spamassassin'] as const;
export type HandOverFilter = (typeof handOverFilters)[number];

export type Place = 'top' | 'end';

/** Each with its usual place. */
export const markingFilters = {
  'spamassassin-milter': 'end',
  'rspamd-haraka': 'end',
  exim: 'end',
  mailscanner: 'end',
  proxmox: 'end',
  spamexperts: 'end',
  icewarp: 'end',
  microsoft365: 'end',
  barracuda: 'top',
  proofpoint: 'end',
  mimecast: 'end',
  kaspersky: 'end',
  trendmicro: 'end',
  sophos: 'end',
  ironport: 'top',
  bogofilter: 'end',
  dspam: 'end',
  spambayes: 'end',
} as const satisfies Readonly<Record<string, Place>>;
export type MarkingFilter = keyof typeof markingFilters;

/** What rspamd's milter_headers puts at the end of a header (INTEGRATIONS §3.4), where it stays in the stored bytes. */
export const rspamdMilterFields: ReadonlySet<string> = new Set([
  'deliver-to',
  'x-rspamd-action',
  'x-rspamd-pre-result',
  'x-rspamd-queue-id',
  'x-rspamd-server',
  'x-spam',
  'x-spam-flag',
  'x-spam-level',
  'x-spam-score',
  'x-spam-status',
  'x-spamd-bar',
  'x-spamd-result',
  'x-virus',
]);

export type FilterName = HandOverFilter | MarkingFilter;
/** `icewarp:X-Own-Header` names the header in which that server writes its reasons. */
export type NamedFilter = FilterName | `${MarkingFilter}@${Place}` | `icewarp:${string}`;
/** none: no field of the message is a filter's; whatever stands there, its sender wrote. */
export type FilterSetting = 'auto' | 'none' | NamedFilter;

export const filterNames: readonly FilterName[] = [
  ...handOverFilters,
  ...(Object.keys(markingFilters) as MarkingFilter[]),
];

export interface ParsedFilter {
  readonly name: FilterName;
  /** Only of those that can be in either place. */
  readonly place?: Place;
  /** Only of IceWarp: the name of its header, in lower case. */
  readonly header?: string;
}

/** `mailscanner@top`, `icewarp:X-Spam-Reasons@end`; undefined for what names no filter. */
export function parseFilter(text: string): ParsedFilter | undefined {
  const match = /^([a-z0-9-]{1,40})(?::([!-9;-?A-~]{1,100}))?(?:@(top|end))?$/.exec(text.trim());
  const name = filterNames.find((one) => one === match?.[1]);
  const [, , header, place] = match ?? [];
  if (!name || (header !== undefined && name !== 'icewarp')) return undefined;
  if (!isMarking(name)) return place === undefined ? { name } : undefined;
  return {
    name,
    place: (place as Place | undefined) ?? markingFilters[name],
    ...(header === undefined ? {} : { header: header.toLowerCase() }),
  };
}

/** What may stand in a setting, in words. */
export const filterForm = ['auto', 'none', ...filterNames].join(', ');

export function asFilterSetting(text: string): FilterSetting | undefined {
  return text === 'auto' || text === 'none' || parseFilter(text) ? (text as FilterSetting) : undefined;
}

export function isMarking(name: FilterName): name is MarkingFilter {
  return Object.hasOwn(markingFilters, name);
}
