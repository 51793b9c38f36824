/**
 * The folders that people see (DESIGN §1): one record each, in the order in which they are listed. Everything that depends
 * on which folder it is stands here or in actions.ts; nobody else compares names or roles.
 *
 * Only Trash has a special-use attribute: a `\Junk` on Spam would let the junk filters of clients train (DESIGN §7.8).
 */
import type { ActionFolder, ReadableFolder } from '#store/model';

export type Role = 'inbox' | ReadableFolder | ActionFolder;

export interface FolderRecord {
  readonly role: Role;
  readonly name: string;
  /** One message of help; mail to read; or something that acts on what is dropped on it and opens empty. */
  readonly kind: 'help' | 'readable' | 'action';
  /** RFC 6154 and RFC 3348. */
  readonly attributes: readonly string[];
  /** What APPEND onto it may bring: nothing; bytes of an entry held in this scope; any message. */
  readonly append: 'nothing' | 'held' | 'anything';
  /** Left out of the list where the configuration says so. */
  readonly optional?: true;
}

const plain = ['\\HasNoChildren'];

export const folders: readonly FolderRecord[] = [
  { role: 'inbox', name: 'INBOX', kind: 'help', attributes: plain, append: 'nothing' },
  { role: 'caught', name: 'Caught', kind: 'readable', attributes: plain, append: 'nothing' },
  {
    role: 'outgoing',
    name: 'Caught (Outgoing)',
    kind: 'readable',
    attributes: plain,
    append: 'nothing',
    optional: true,
  },
  { role: 'training', name: 'Training Requested', kind: 'readable', attributes: plain, append: 'nothing' },
  { role: 'release', name: 'Release', kind: 'action', attributes: plain, append: 'held' },
  { role: 'release-train', name: 'Release & Train', kind: 'action', attributes: plain, append: 'held' },
  { role: 'spam', name: 'Spam', kind: 'action', attributes: plain, append: 'anything' },
  { role: 'not-spam', name: 'Not Spam', kind: 'action', attributes: plain, append: 'anything' },
  { role: 'trash', name: 'Trash', kind: 'readable', attributes: [...plain, '\\Trash'], append: 'nothing' },
];

/** Those in which entries stay. */
export const stayFolders: readonly (ReadableFolder | ActionFolder)[] = folders.flatMap(({ role }) =>
  role === 'inbox' ? [] : [role],
);

const byRole = new Map(folders.map((folder) => [folder.role, folder]));

export function folderOf(role: Role): FolderRecord {
  return byRole.get(role)!;
}

export const isAction = (role: Role): role is ActionFolder => folderOf(role).kind === 'action';
export const isReadable = (role: Role): role is ReadableFolder => folderOf(role).kind === 'readable';

/**
 * The folder a client means. Clients that were once told another hierarchy send `INBOX/Trash` or `INBOX.INBOX.Trash`
 * (FEATURES Q15); no folder of ours begins so.
 */
export function findFolder(name: string, has: (folder: FolderRecord) => boolean): FolderRecord | undefined {
  const bare = name.replace(/^(?:INBOX[/.])+/i, '');
  return folders.find(
    (folder) => has(folder) && (folder.name === bare || (folder.role === 'inbox' && /^INBOX$/i.test(bare))),
  );
}
