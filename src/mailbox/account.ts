/** What every file here needs to know of the session it works for, and of the product it works in. */
import type { Listener } from '#app/observe/events';
import type { Log } from '#app/observe/log';
import type { Learning } from '#app/quarantine/actions';
import type { Account, Actor, Scope } from '#store/model';
import type { Store } from '#store/port';
import type { Feed } from './feed.ts';
import type { Views } from './views.ts';

/** Made once per process. */
export interface World {
  readonly store: Store;
  readonly feed: Feed;
  readonly views: Views;
  readonly hostname: string;
  readonly undoMs: number;
  readonly actionFolders: 'empty' | 'strict';
  readonly outgoingFolder: boolean;
  /** Absent: nothing is learned without being asked for. */
  readonly learn?: Learning | undefined;
  readonly onEvent: Listener;
  readonly log: Log;
}

/** Who is logged in. */
export interface Who {
  /** The account's whole name, `ann*global` too. */
  readonly name: string;
  readonly scope: Scope;
  /** Its account without the person: drops, their undo, nudges and notices are shared by all persons of an account. */
  readonly actor: Actor;
}

export function whoIs(account: Account): Who {
  const { name, scope, person } = account;
  const shared = person === undefined ? name : name.slice(person.length + 1);
  return { name, scope, actor: { account: shared, via: 'imap', ...(person !== undefined && { person }) } };
}
