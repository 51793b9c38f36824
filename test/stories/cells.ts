/** The folder table (DESIGN §1), written out so that it does not follow the code, and drops as a client would send them. */
import type { Mailbox, Targets, Transferred } from '#imap/backend';
import type { No } from '#imap/errors';
import type { Entry } from '#store/model';
import { ada, answerOf, bySequence, byUid, type Held, type House, quiet } from '../mailbox/house.ts';

export const names = [
  'INBOX',
  'Caught',
  'Caught (Outgoing)',
  'Training Requested',
  'Release',
  'Release & Train',
  'Spam',
  'Not Spam',
  'Trash',
] as const;
export type Name = (typeof names)[number];
export const readable = ['Caught', 'Caught (Outgoing)', 'Training Requested', 'Trash'] as const;

/** Written out, so that it does not follow the code: for each source, what a drop on each target does. */
export const table: Readonly<Record<Name, Readonly<Partial<Record<Name, string>>>>> = {
  INBOX: {},
  Caught: {
    Release: 'deliver',
    'Release & Train': 'deliver train-ham',
    Spam: 'train-spam',
    'Not Spam': 'train-ham',
    Trash: 'discard',
  },
  'Caught (Outgoing)': {
    Release: 'deliver',
    'Release & Train': 'deliver train-ham',
    Spam: 'train-spam',
    'Not Spam': 'train-ham',
    Trash: 'discard',
  },
  'Training Requested': { Spam: 'train-spam', 'Not Spam': 'train-ham', Trash: 'discard' },
  Release: {},
  'Release & Train': {},
  Spam: {},
  'Not Spam': {},
  Trash: {
    Caught: 'restore',
    'Caught (Outgoing)': 'restore',
    'Training Requested': 'restore',
    Spam: 'train-spam',
    'Not Spam': 'train-ham',
  },
};

export type Command = 'COPY' | 'UID COPY' | 'MOVE' | 'UID MOVE';
export const commands: readonly Command[] = ['COPY', 'UID COPY', 'MOVE', 'UID MOVE'];

export function give(command: Command, from: Mailbox, uids: readonly number[], to: string): Promise<Transferred | No> {
  const targets: Targets = command.startsWith('UID') ? byUid(from, ...uids) : bySequence(...uids);
  return answerOf(command.endsWith('COPY') ? from.copy(targets, to, quiet) : from.move(targets, to, quiet));
}

/** A message of ada's that lies in this folder; in Trash it came from `home`. */
export async function lyingIn(house: House, folder: Name, home: Name = 'Caught'): Promise<Held> {
  if (folder === 'Trash') {
    const entry = await lyingIn(house, home);
    const from = await house.open(ada, home);
    await from.move(bySequence(entry.uid), 'Trash', quiet);
    from.close();
    return (await house.entry(entry.id)) as Held;
  }
  return house.hold({
    direction: folder === 'Caught (Outgoing)' ? 'outgoing' : 'incoming',
    class: folder === 'Training Requested' ? 'training' : 'held',
  });
}

export const after: Readonly<Record<string, { readonly state: Entry['state']; readonly folder: string | undefined }>> =
  {
    deliver: { state: 'dropped', folder: undefined },
    'deliver train-ham': { state: 'dropped', folder: undefined },
    'train-spam': { state: 'trained', folder: 'trash' },
    'train-ham': { state: 'trained', folder: 'trash' },
    discard: { state: 'discarded', folder: 'trash' },
  };
