/**
 * Whoever dies in the middle of a writing transaction would keep all others from writing for a minute: so long MongoDB keeps
 * one open in which nothing happens. Others end it. One that was alive after all runs its batch again.
 *
 * Sessions of one's own user may be seen and ended without any role for it.
 */
import type { Connection } from './connect.ts';

/** How long nothing has to have happened in it. */
const idleMs = 2000;

/** What the server says of a session, https://www.mongodb.com/docs/v6.0/reference/operator/aggregation/currentOp/ */
interface IdleSession {
  readonly lsid: { readonly id: unknown };
}

/** Ends the transactions of this program in which nobody goes on. Never throws: it is tried again with the next conflict. */
export async function endAbandoned({ client }: Connection): Promise<void> {
  try {
    const admin = client.db('admin');
    // Of what runs just now nothing is known to be abandoned.
    const abandoned = await admin
      .aggregate<IdleSession>(
        [
          { $currentOp: { allUsers: false, idleSessions: true } },
          {
            $match: {
              type: 'idleSession',
              appName: client.options.appName,
              'transaction.timeInactiveMicros': { $gt: idleMs * 1000 },
            },
          },
          { $project: { lsid: 1 } },
        ],
        { readConcern: { level: 'local' } },
      )
      .toArray();
    if (abandoned.length > 0) await admin.command({ killSessions: abandoned.map(({ lsid }) => ({ id: lsid.id })) });
  } catch {
    // The conflict stays, and with it the reason to look again.
  }
}
