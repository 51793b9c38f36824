/**
 * How long a thread has worked, not how long it was there: at the lowest priority it may wait for long through no fault of
 * the message. Linux only (proc(5)); elsewhere nothing is known, and the clock on the wall decides.
 */
import { readFileSync, readlinkSync } from 'node:fs';

/** Of `utime` and `stime`: USER_HZ, which is 100 on every architecture that Node runs on. */
const msPerTick = 10;

/** The number of the thread that asks; 0 for unknown. */
export function ownThread(): number {
  if (process.platform !== 'linux') return 0;
  try {
    return Number(/\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self'))?.[1] ?? 0);
  } catch {
    return 0; // no /proc, as in some containers
  }
}

export function workedMs(thread: number): number | undefined {
  try {
    const fields = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) * msPerTick;
  } catch {
    return undefined; // it has ended
  }
}
