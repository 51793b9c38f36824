/**
 * What the settings remember of the help message in an account's INBOX, under its UID: its flags, and its date. Here and
 * not with INBOX itself, because a store that is renumbered (store/renumbered.ts) gives the message another UID.
 */
import type { SettingRecord } from '#store/records';

export interface RememberedHelp {
  readonly uid: number;
  readonly flags: readonly string[];
  readonly modSeq: number;
}

const keys = { flags: 'inbox:', since: 'help-since:' };

export const flagsKey = (account: string): string => keys.flags + account;
/** Of the time at which somebody first looked. */
export const sinceKey = (account: string, uid: number): string => `${keys.since}${account}:${uid}`;

export const encode = (value: RememberedHelp): Uint8Array => Buffer.from(JSON.stringify(value));
export const decode = (bytes: Uint8Array): RememberedHelp =>
  JSON.parse(Buffer.from(bytes).toString()) as RememberedHelp;

/** Any setting as it is when UIDs are others. What is about the UID of an earlier text is undefined, or about none. */
export function renumberedHelp(
  setting: SettingRecord,
  uidOf: (old: number) => number | undefined,
): SettingRecord | undefined {
  const { name, value } = setting;
  if (name.startsWith(keys.flags)) {
    const help = decode(value);
    return { ...setting, value: encode({ ...help, uid: uidOf(help.uid) ?? 0 }) };
  }
  if (!name.startsWith(keys.since)) return setting;
  const at = name.lastIndexOf(':');
  const uid = uidOf(Number(name.slice(at + 1)));
  return uid === undefined ? undefined : { ...setting, name: `${name.slice(0, at)}:${uid}` };
}
