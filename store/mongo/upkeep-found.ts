/** What a check hands over to whoever mends. */
import type { Flaw } from '../records.ts';

export const unfinished = ['ready', 'leased'] as const;

/** A flaw, with what is needed to mend it. */
export interface Found {
  readonly flaw: Flaw;
  /** The hash that damaged octets have. */
  readonly sha256?: string;
  /** A top as it should be. */
  readonly top?: { readonly _id: string; readonly uid: number; readonly modSeq: number };
}
