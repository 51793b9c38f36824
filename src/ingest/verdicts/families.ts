/** Filters that leave marks in the header and are read where a listener names them: which fields are theirs, and what they say. */

import type { MarkingFilter } from '#app/lib/filter-names';
import type { Direction, Verdict } from '#store/model';
import type { Block } from '../fields.ts';
import { barracuda } from './barracuda.ts';
import { bogofilter, dspam, spambayes } from './bayes.ts';
import { exim, spamassassinMilter } from './exim.ts';
import { icewarp } from './icewarp.ts';
import { mailscanner } from './mailscanner.ts';
import { microsoft365 } from './microsoft365.ts';
import { mimecast, proofpoint } from './proofpoint.ts';
import { proxmox } from './proxmox.ts';
import { rspamdHaraka } from './rspamd.ts';
import { spamexperts } from './spamexperts.ts';
import { ironport, kaspersky, sophos, trendmicro } from './vendors.ts';

export interface Family {
  /** Is this, in lower case, the name of a field that the filter writes? */
  its(name: string): boolean;
  /** One that shows that it was this filter; among names that others write as well. */
  telling(name: string): boolean;
  read(block: Block): Reading;
}

export interface Reading {
  readonly verdict: Verdict;
  /** Which way the message goes, where the filter says so. */
  readonly direction?: Direction;
}

const always = (family: Family) => () => family;

export const families: Readonly<Record<MarkingFilter, (header?: string) => Family>> = {
  'spamassassin-milter': always(spamassassinMilter),
  'rspamd-haraka': always(rspamdHaraka),
  exim: always(exim),
  mailscanner: always(mailscanner),
  proxmox: always(proxmox),
  spamexperts: always(spamexperts),
  icewarp,
  microsoft365: always(microsoft365),
  barracuda: always(barracuda),
  proofpoint: always(proofpoint),
  mimecast: always(mimecast),
  kaspersky: always(kaspersky),
  trendmicro: always(trendmicro),
  sophos: always(sophos),
  ironport: always(ironport),
  bogofilter: always(bogofilter),
  dspam: always(dspam),
  spambayes: always(spambayes),
};
