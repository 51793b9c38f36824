/**
 * Answers imap/backend.ts: checks who comes, counts their connections, and gives each a session. Everything that sessions
 * share in this process is made here, once: the feed, the views, who is to be nudged and told.
 */
import type { Authenticator } from '#app/accounts/authenticate';
import { type Connections, LocalConnections } from '#app/accounts/limits';
import type { Listen } from '#app/bus/bus';
import type { Listener } from '#app/observe/events';
import type { Log } from '#app/observe/log';
import type { AddressBook } from '#app/policy/addresses';
import { mayLogIn } from '#app/policy/permissions';
import type { Learning } from '#app/quarantine/actions';
import type { Backend } from '#imap/backend';
import { No, type ResponseCode } from '#imap/errors';
import type { Store } from '#store/port';
import { type World, whoIs } from './account.ts';
import { Feed } from './feed.ts';
import { Inboxes } from './inbox.ts';
import { NoticeBoard, type NoticeTiming } from './notice-board.ts';
import { Nudges } from './nudges.ts';
import { AccountSession, type Shared } from './session.ts';
import { Subscriptions } from './subscriptions.ts';
import { Views } from './views.ts';

export interface BackendOptions {
  readonly store: Store;
  readonly authenticator: Pick<Authenticator, 'verify'>;
  readonly book: Pick<AddressBook, 'isOurs'>;
  readonly hostname: string;
  readonly undoMs: number;
  readonly actionFolders: 'empty' | 'strict';
  readonly outgoingFolder: boolean;
  /** What is learned without being asked for; absent: nothing. */
  readonly learn?: Learning;
  readonly maxConnectionsPerUser: number;
  /** Who counts them; by default this process, for itself. */
  readonly connections?: Connections;
  /** Who rings when there may be changes; by default the store. */
  readonly listen?: Listen;
  /** See Feed. */
  readonly idlePollMs?: number;
  readonly onEvent: Listener;
  readonly log: Log;
  readonly noticeTiming?: NoticeTiming;
}

export interface MailboxBackend extends Backend {
  /** Resolves when what sessions are shown is up to the end of the log as of this call. @throws what keeps it from that */
  caughtUp(): Promise<void>;
  /** What the loaded folders hold, for whoever measures. */
  held(): { readonly views: number; readonly entries: number; readonly bytes: number };
  /** Ends the reading of the change log; before the store is closed, after the server. */
  close(): void;
}

export function createBackend(o: BackendOptions): MailboxBackend {
  const { store, log } = o;
  const feed = new Feed(store.changes, log, o);
  const views = new Views(store.views, feed);
  const { hostname, undoMs, actionFolders, outgoingFolder, learn, onEvent } = o;
  const world: World = { store, feed, views, hostname, undoMs, actionFolders, outgoingFolder, learn, onEvent, log };
  const shared: Shared = {
    inboxes: new Inboxes(world),
    nudges: new Nudges(feed),
    noticeBoard: new NoticeBoard(store.notices, feed, log, o.noticeTiming),
    subscriptions: new Subscriptions(store.settings),
  };
  const connections = o.connections ?? new LocalConnections();

  return {
    async login({ user, password, authzid }, peer) {
      const account = await o.authenticator.verify(user, password, peer.address);
      const refused = (why: 'wrong' | 'not-allowed' | 'limit', code: ResponseCode, text: string) => {
        onEvent({ kind: 'login-refused', why, address: peer.address });
        return new No(code, text);
      };
      if (!account || !mayLogIn(account.scope, o.book))
        throw refused('wrong', 'AUTHENTICATIONFAILED', 'The user name or the password is wrong');
      // RFC 4616 §2: acting for somebody else is not offered, naming oneself is.
      if (authzid !== undefined && authzid !== '' && authzid !== user && authzid !== account.name)
        throw refused('not-allowed', 'AUTHORIZATIONFAILED', 'Nobody can act for another account here');
      const who = whoIs(account);
      const opened = await connections.open(who.name, o.maxConnectionsPerUser);
      if ('full' in opened)
        throw refused('limit', 'LIMIT', `This account has ${opened.full} connections, and no more are allowed`);
      onEvent({ kind: 'login', account: who.name, address: peer.address });
      return new AccountSession(world, who, shared, opened.close);
    },
    async caughtUp() {
      await Promise.all([feed.caughtUp(), views.loaded()]);
    },
    held: () => views.held(),
    close() {
      feed.close();
      views.close();
      shared.noticeBoard.close();
    },
  };
}
