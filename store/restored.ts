/**
 * The records of a backup as they are restored. The world went on after the backup: what was on its way then may have been
 * delivered or learned since, so nothing that was unfinished is simply run again (DESIGN §3, §4.4).
 *
 * - Every unfinished job is cancelled, with the outcome `restoredOutcome`.
 * - An entry whose delivery was unfinished is held again in its own folder, under a new UID, as after a delivery that failed:
 *   `$ReleaseFailed`, with a prefix that the caller writes. A person decides whether it goes out (again).
 *
 * Takes records in the order of `recordKinds`. What it keeps in memory are the unfinished jobs.
 */
import type { EntryId, ModSeq, Uid } from './model.ts';
import type {
  ChangeRecord,
  EntryRecord,
  FactRecord,
  JobRecord,
  NumbersRecord,
  StayRecord,
  TopRecord,
} from './records.ts';
import { restoredOutcome } from './records.ts';
import { comesBack, isAction, type JobStanding, type Next, type Standing, type Target } from './transitions.ts';

export interface RestoreOptions {
  /** The backup's last numbers: UIDs and mod-sequences go on behind them. */
  readonly numbers: NumbersRecord;
  readonly now: number;
  /** What an entry is shown with that is held again; `{id}` becomes its id. */
  prefixOf(entry: EntryRecord): string;
}

/** Lines of the log under one mod-sequence. */
const linesAtOnce = 500;

export class Restoring {
  readonly #options: RestoreOptions;
  readonly #jobs = new Map<EntryId, JobStanding[]>();
  readonly #tops = new Map<string, { scope: string; folder: TopRecord['folder']; uid: number; modSeq: number }>();
  #uid: number;
  #modSeq: number;
  #lines: ChangeRecord['lines'][number][] = [];
  #changes: ChangeRecord[] = [];
  /** So far: entries that are held again, trainings that were cancelled. */
  heldAgain = 0;
  untrained = 0;

  constructor(options: RestoreOptions) {
    this.#options = options;
    this.#uid = options.numbers.lastUid;
    this.#modSeq = options.numbers.lastModSeq + 1;
  }

  /** The records to write for one of the backup. */
  record(record: FactRecord): readonly FactRecord[] {
    switch (record.kind) {
      case 'jobs':
        return [this.#job(record)];
      case 'entries':
        return [this.#entry(record)];
      case 'tops':
        return [this.#top(record)];
      case 'numbers':
        return this.#end(record);
      default:
        return [record];
    }
  }

  #job(job: JobRecord): JobRecord {
    if (job.state !== 'ready' && job.state !== 'leased') return job;
    if (job.step !== 'deliver') this.untrained += 1;
    if (job.entryId !== undefined) {
      const known = this.#jobs.get(job.entryId);
      const standing = { key: job.key, dropId: job.dropId, step: job.step, state: job.state };
      if (known) known.push(standing);
      else this.#jobs.set(job.entryId, [standing]);
    }
    const { lease: _, leaseUntil: __, ...rest } = job;
    return { ...rest, state: 'cancelled', endedAt: this.#options.now, outcome: restoredOutcome };
  }

  #entry(entry: EntryRecord): EntryRecord {
    const jobs = this.#jobs.get(entry.id) ?? [];
    const isOnItsWay = jobs.some((job) => job.step === 'deliver' && job.dropId === entry.dropId);
    if (entry.state !== 'dropped' || !isOnItsWay) return entry;
    this.heldAgain += 1;
    const next = comesBack(this.#standing(entry, jobs), this.#options.prefixOf(entry));
    return this.#become(entry, next);
  }

  #standing(entry: EntryRecord, jobs: readonly JobStanding[]): Standing {
    // A return asks of targets only which stay in an action folder is over; what they were taken from is of no matter.
    const targets = entry.stays.flatMap(({ uid, folder, dropId, from }): Target[] =>
      dropId === undefined || from === undefined || !isAction(folder)
        ? []
        : [{ uid, folder, dropId, from, action: folder, account: '', cameFrom: 'caught' }],
    );
    const { id, class: class_, direction, recipient, state, place, flags, waiting, hidden } = entry;
    return {
      ...{ id, class: class_, direction, recipient, state, place, flags, waiting, hidden, jobs, targets },
      ...{
        uid: entry.uid,
        folder: entry.folder,
        dropId: entry.dropId,
        copiedBy: entry.copiedBy,
        leaveAt: entry.leaveAt,
      },
    };
  }

  /** What a driver's `write` does with an entry that comes back, on its record. */
  #become(entry: EntryRecord, next: Next): EntryRecord {
    if (typeof next.stay !== 'object') return entry;
    const { now } = this.#options;
    this.#uid += 1;
    const uid = this.#uid as Uid;
    const modSeq = this.#modSeq;
    const { folder } = next.stay;
    const prefix = next.stay.prefix?.replaceAll('{id}', String(entry.id)) ?? entry.prefix;
    const size = entry.size + Buffer.byteLength(prefix) - Buffer.byteLength(entry.prefix);
    const stays = entry.stays.map((stay): StayRecord => {
      const isLeft = stay.uid === entry.uid;
      const isOver = isLeft || next.over.includes(stay.uid);
      const ended = isOver && stay.endedAt === undefined ? { ...stay, endedAt: now, endedModSeq: modSeq } : stay;
      const showedOld = (isLeft || stay.endedAt !== undefined) && stay.prefix === undefined && prefix !== entry.prefix;
      return showedOld ? { ...ended, prefix: entry.prefix } : ended;
    });
    const line = { entryId: entry.id, messageId: entry.messageId, owner: entry.owner };
    if (entry.uid !== undefined && entry.folder !== undefined)
      this.#log(entry.owner, { kind: 'leave', uid: entry.uid, folder: entry.folder, ...line });
    const { flags } = next;
    const { internalDate } = entry;
    this.#log(entry.owner, { kind: 'enter', uid, folder, ...line, flags, size, internalDate });
    const { uid: _, folder: __, dropId: ___, copiedBy: ____, leaveAt: _____, ...rest } = entry;
    const { state, place, waiting, hidden, dropId, copiedBy, leaveAt } = next;
    const mod = { recipient: modSeq, domain: modSeq, global: modSeq };
    const became: EntryRecord = {
      ...{ ...rest, state, place, waiting, hidden, flags, uid, folder, prefix, size, mod },
      ...(dropId === undefined ? {} : { dropId }),
      ...(copiedBy === undefined ? {} : { copiedBy }),
      ...(leaveAt === undefined ? {} : { leaveAt }),
      stays: [...stays, { uid, folder, beganAt: now }],
    };
    if (this.#lines.length >= linesAtOnce) this.#closeChange();
    return became;
  }

  #log(owner: string, line: ChangeRecord['lines'][number]): void {
    this.#lines.push(line);
    const uid = line.kind === 'enter' ? line.uid : 0;
    const domain = owner.slice(owner.lastIndexOf('@') + 1);
    for (const scope of owner === '' ? ['g'] : ['g', `d:${domain}`, `r:${owner}`]) {
      const key = `${scope} ${line.folder}`;
      const top = this.#tops.get(key) ?? { scope, folder: line.folder, uid: 0, modSeq: 0 };
      this.#tops.set(key, { ...top, uid: Math.max(top.uid, uid), modSeq: this.#modSeq });
    }
  }

  #closeChange(): void {
    if (this.#lines.length === 0) return;
    this.#changes.push({
      kind: 'changes',
      modSeq: this.#modSeq as ModSeq,
      at: this.#options.now,
      lines: this.#lines,
    });
    this.#lines = [];
    this.#modSeq += 1;
  }

  #top(top: TopRecord): TopRecord {
    const key = `${top.scope} ${top.folder}`;
    const raised = this.#tops.get(key);
    this.#tops.delete(key);
    if (!raised) return top;
    return { ...top, uid: Math.max(top.uid, raised.uid), modSeq: Math.max(top.modSeq, raised.modSeq) };
  }

  /** The lines of the log, tops that the backup had none of, and the numbers that were given. */
  #end(numbers: NumbersRecord): readonly FactRecord[] {
    this.#closeChange();
    const tops = [...this.#tops.values()].map((top): TopRecord => ({ kind: 'tops', ...top }));
    return [...this.#changes, ...tops, { ...numbers, lastUid: this.#uid, lastModSeq: this.#modSeq - 1 }];
  }
}
