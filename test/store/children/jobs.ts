/**
 * A process with a clock of its own (kill-at.mjs, CLOCK_OFFSET_MS) that claims what is due. Prints what it got and the time it
 * believes it is. Arguments: store URL; lease in milliseconds; `later` and milliseconds to put off what it got.
 */
import { openStore } from '#store/open';

const [url, leaseMs, what, afterMs] = process.argv.slice(2);
const store = await openStore(url!);
const steps = ['deliver', 'train-ham', 'train-spam'] as const;
const jobs = await store.jobs.claim({ steps, limit: 100, leaseMs: Number(leaseMs) });
if (what === 'later')
  for (const job of jobs)
    await store.jobs.finish(job, { kind: 'later', said: '451 4.3.0 Try later', afterMs: Number(afterMs) });
await store.housekeep();
console.log(JSON.stringify({ claimed: jobs.length, now: Date.now() }));
await store.close();
