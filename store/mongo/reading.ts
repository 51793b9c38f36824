/** How the methods that only read come to what they read: by themselves, or several things as they were at one moment. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Connection } from './connect.ts';
import { codeOf, translated } from './fault.ts';
import { inSnapshot, SessionSnapshot } from './snapshot.ts';
import type { ScanSnapshot } from './tx.ts';

/** For one thing. */
export function readOne<T>({ db, clock }: Connection, read: (snapshot: ScanSnapshot) => Promise<T>): Promise<T> {
  return translated(() => read(new SessionSnapshot(db, undefined, clock.now)));
}

/** SnapshotUnavailable: a collection was made just before. */
const tooNew = 246;

/** For several things. */
export function readTogether<T>(
  { client, db, clock }: Connection,
  read: (snapshot: ScanSnapshot) => Promise<T>,
): Promise<T> {
  return translated(async () => {
    for (let tries = 50; ; tries -= 1) {
      try {
        return await inSnapshot(client, db, clock.now, read);
      } catch (error) {
        if (codeOf(error) !== tooNew || tries === 0) throw error;
      }
      await pause(20);
    }
  });
}
