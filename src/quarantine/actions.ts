/**
 * What putting a message from one folder onto another means (DESIGN §1, the table's cells): an action, the way back, or
 * a refusal that says what to do instead. COPY and MOVE ask the same question. And what an act teaches without being asked
 * to, where the settings say so.
 */
import type { ActionFolder, ActionName, ReadableFolder, Step } from '#store/model';
import { folderOf, isAction, isReadable, type Role } from './folders.ts';
import type { Sentence } from './refusals.ts';

export type Meaning =
  | { readonly kind: 'drop'; readonly action: ActionFolder | 'discard' }
  /** Out of Trash, back to the folder it came from, which must be this one. */
  | { readonly kind: 'restore'; readonly to: ReadableFolder }
  /** Out of an action folder, back to the folder it came from, which must be this one. */
  | { readonly kind: 'undo'; readonly backTo: ReadableFolder }
  /** Out of an action folder to anywhere else: there is nothing in it, so nothing is done (DESIGN §7.5). */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'refused'; readonly refusal: Sentence };

export function meaningOf(source: Role, target: Role): Meaning {
  if (isAction(source)) return isReadable(target) ? { kind: 'undo', backTo: target } : { kind: 'nothing' };
  if (source === 'inbox') return refused('This message only explains the folders, it cannot be put anywhere');
  if (source === target) return refused(`It is in ${folderOf(target).name} already`);

  switch (target) {
    case 'inbox':
      return refused('INBOX takes no messages here. To have a message delivered, put it on Release');
    case 'caught':
    case 'outgoing':
    case 'training':
      if (source === 'trash') return { kind: 'restore', to: target };
      return refused(`Only the mail filter puts messages into ${folderOf(target).name}`);
    case 'release':
    case 'release-train':
      if (source === 'training')
        return refused('What lies in Training Requested needs no release. Put it on Spam or Not Spam');
      if (source === 'trash')
        return refused('Put it back into the folder it came from first, then it can be released from there');
      return { kind: 'drop', action: target };
    case 'spam':
    case 'not-spam':
      return { kind: 'drop', action: target };
    case 'trash':
      return { kind: 'drop', action: 'discard' };
  }
}

/** What is learned from how people act (settings `training.learn`): the ways of acting of which it is. */
export interface Learning {
  readonly released: readonly string[];
  readonly discarded: readonly string[];
}

/**
 * The steps of a drop that came by this way, where it teaches more than its action says: a release also ham, a discard also
 * spam. Only of drops, which people make: what leaves a folder by EXPUNGE or CLOSE, an undo and a restore teach nothing.
 */
export function stepsLearned(
  action: ActionName,
  via: string,
  learn: Learning | undefined,
): readonly Step[] | undefined {
  if (action === 'release' && learn?.released.includes(via)) return ['deliver', 'train-ham'];
  if (action === 'discard' && learn?.discarded.includes(via)) return ['train-spam'];
  return undefined;
}

/** Why nothing can be appended to this folder; undefined where APPEND is taken. */
export function appendRefusal(target: Role): Sentence | undefined {
  const folder = folderOf(target);
  if (folder.append !== 'nothing') return undefined;
  if (target === 'inbox') return cannot('INBOX takes no messages here');
  if (target === 'trash') return cannot('Trash takes only messages that were held here');
  return cannot(
    `Only the mail filter puts messages into ${folder.name}. To report a message, put it on Spam or Not Spam`,
  );
}

const cannot = (text: string): Sentence => ({ code: 'CANNOT', text });
const refused = (text: string): Meaning => ({ kind: 'refused', refusal: cannot(text) });
