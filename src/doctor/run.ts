/** All that the doctor looks at, in the order in which one would ask: what everything stands on first. */
import type { Config } from '#app/config/schema';
import { isServerRunning } from '#app/lib/heartbeat';
import type { AddressBook } from '#app/policy/addresses';
import { stayFolders } from '#app/quarantine/folders';
import type { Store } from '#store/port';
import { checkImap, checkIntake, checkNextHops, checkTrainers, checkWatched, look } from './checks.ts';
import { Fault, type Finding } from './finding.ts';
import { probe } from './probe.ts';

export interface Visit {
  readonly store: Store;
  readonly book: AddressBook;
  readonly config: Config;
  /** Absent: nothing is handed over. */
  readonly to?: string | undefined;
  /** By which mail is handed over by HTTP. */
  readonly token?: string | undefined;
  readonly train: boolean;
  readonly waitMs: number;
  readonly report: (finding: Finding) => void;
}
/** DESIGN §7.3: 32 bits last for four billion stays. */
const halfOfUids = 2 ** 31;

export async function visit(o: Visit): Promise<void> {
  const { store, config, report } = o;
  await look(
    report,
    { check: 'store', todo: 'is its disk full, or its database away? `lazaret store check`' },
    async () => {
      const tops = await Promise.all(stayFolders.map((folder) => store.views.top({ level: 'global' }, folder)));
      const highest = Math.max(...tops.map(({ uidNext }) => uidNext));
      if (highest > halfOfUids)
        return {
          state: 'warning',
          said: `more than half of all numbers for messages are used up (${highest} of 4294967295)`,
          todo: 'give them anew, with the server stopped: `lazaret store copy FROM TO --renumber`',
        };
      return { said: 'can be read, and has numbers to give' };
    },
  );
  let runs = false;
  await look(
    report,
    { check: 'server', todo: 'start it: `lazaret serve`, with the role worker among `roles`' },
    async () => {
      runs = await isServerRunning(store.settings);
      if (!runs) throw new Fault('no server delivers and trains on this store', 'start one: `lazaret serve`');
      return { said: 'one runs, and does its jobs' };
    },
  );
  await look(report, { check: 'backlog', todo: 'look at the log of the server' }, () => backlog(store));
  await checkImap(config, report, Date.now());
  await checkIntake(config, report, o.token);
  await checkNextHops(config, report);
  await checkTrainers(config, report);
  await checkWatched(config, report);
  const skipped = (said: string, todo?: string) =>
    report({ check: 'probe', state: 'skipped', said, ...(todo ? { todo } : {}) });
  if (!runs) return skipped('no message was sent on its way, since no server runs');
  if (o.to === undefined)
    return skipped(
      'no message was sent on its way',
      'name a mailbox that may get one, by --to or the setting doctor.probe',
    );
  await probe({ ...o, to: o.to });
}

/** Jobs that should have been done long ago. */
async function backlog(store: Store): Promise<Partial<Finding> & { readonly said: string }> {
  const waiting = await store.jobs.backlog();
  const lateMs = 10 * 60_000;
  const late = waiting.filter(({ due, oldestDueMs }) => due > 0 && oldestDueMs > lateMs);
  if (late.length > 0)
    return {
      state: 'warning',
      said: late
        .map(({ step, due, oldestDueMs }) => `${due} × ${step} for ${Math.round(oldestDueMs / 60_000)} min`)
        .join(', '),
      todo: 'does a server with the role worker run? Are jobs.concurrency places enough?',
    };
  const later = waiting.reduce((sum, { later }) => sum + later, 0);
  return { said: later > 0 ? `${later} jobs wait for their next try or for undo` : 'nothing waits that should not' };
}
