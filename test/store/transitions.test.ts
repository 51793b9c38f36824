/** The rules of store/transitions.ts as tables: how an entry stands, what is asked, what it becomes. */
import t from 'tap';
import type { ActionName, EntryId, Level, ReadableFolder, Step, Uid } from '#store/model';
import { stepsOf } from '#store/model';
import type { Answer, Flags, JobStanding, Next, Onto, Standing, Target } from '#store/transitions';
import * as rules from '#store/transitions';

const uid = (number: number): Uid => number as Uid;
const all = (flags: string): Flags => ({ recipient: flags, domain: flags, global: flags });

/** Held in Caught under UID 10, and nothing ever happened to it. */
function held(changes: Partial<Standing> = {}): Standing {
  return {
    id: 10 as EntryId,
    class: 'held',
    direction: 'incoming',
    recipient: 'ada@harbour.example',
    state: 'held',
    place: 'caught',
    uid: uid(10),
    folder: 'caught',
    flags: all(''),
    waiting: false,
    hidden: 0,
    dropId: undefined,
    copiedBy: undefined,
    leaveAt: undefined,
    jobs: [],
    targets: [],
    ...changes,
  };
}

const job = (dropId: string, step: Step, state: JobStanding['state'] = 'ready'): JobStanding => ({
  key: `${dropId}/10/${step}`,
  dropId,
  step,
  state,
});

const target = (dropId: string, action: ActionName, changes: Partial<Target> = {}): Target => ({
  uid: uid(20),
  folder: action === 'discard' ? 'trash' : action === 'restore' ? 'caught' : action,
  dropId,
  action,
  account: 'ada@harbour.example',
  cameFrom: 'caught',
  from: uid(10),
  ...changes,
});

/** Taken by drop D: onto a Release folder by MOVE, and by COPY. */
const moved = (action: ActionName = 'release', changes: Partial<Standing> = {}): Standing =>
  held({
    state: 'dropped',
    place: 'none',
    uid: undefined,
    folder: undefined,
    dropId: 'D',
    jobs: stepsOf[action].map((step) => job('D', step)),
    targets: [target('D', action)],
    ...changes,
  });
const copied = (action: ActionName = 'release', changes: Partial<Standing> = {}): Standing =>
  moved(action, { uid: uid(10), folder: 'caught', place: 'caught', flags: all('$Releasing'), ...changes });
/** Its delivery is put off for long: shown again under UID 30. */
const waiting = (changes: Partial<Standing> = {}): Standing =>
  copied('release', { uid: uid(30), waiting: true, ...changes });
/** Moved onto Spam by drop D, so in Trash under UID 21; and copied onto it, so still in Caught. */
const trained = (changes: Partial<Standing> = {}): Standing =>
  moved('spam', { state: 'trained', place: 'trash', uid: uid(21), folder: 'trash', ...changes });
const trainedCopy = (changes: Partial<Standing> = {}): Standing =>
  held({
    copiedBy: 'D',
    flags: all('$Trained'),
    jobs: [job('D', 'train-spam')],
    targets: [target('D', 'spam')],
    ...changes,
  });
const discarded = (changes: Partial<Standing> = {}): Standing =>
  held({
    state: 'discarded',
    place: 'trash',
    uid: uid(20),
    folder: 'trash',
    dropId: 'D',
    targets: [target('D', 'discard')],
    ...changes,
  });
/** On Spam by drop D; then, before that was learned, on Not Spam by drop E. */
const second = target('E', 'not-spam', { uid: uid(22) });
const retrained = (was: Partial<Target>): Standing =>
  trained({
    dropId: 'E',
    jobs: [{ ...job('D', 'train-spam', 'cancelled'), cancelledBy: 'E' }, job('E', 'train-ham')],
    targets: [target('D', 'spam'), { ...second, ...was }],
  });
const request = (changes: Partial<Standing> = {}): Standing =>
  held({ class: 'training', place: 'training', folder: 'training', ...changes });

/** One answer in a line, e.g. `taken action: dropped none ends +deliver`. */
function sayNext(next: Next): string {
  const stay = typeof next.stay === 'object' ? `begins:${next.stay.folder}` : next.stay;
  return [
    next.state,
    next.place,
    stay,
    ...next.add.map((step) => `+${step}`),
    ...next.cancel.map((key) => `-${key}`),
    ...next.revive.map((key) => `^${key}`),
    ...next.dueNow.map((key) => `!${key}`),
    ...(next.copiedBy === undefined ? [] : [`copied:${next.copiedBy}`]),
    ...(next.over.length > 0 ? [`over:${next.over}`] : []),
    ...(next.reopen.length > 0 ? [`reopen:${next.reopen}`] : []),
  ].join(' ');
}
function say(answer: Answer): string {
  switch (answer.kind) {
    case 'unknown':
      return 'unknown';
    case 'refused':
      return `refused ${answer.reason}`;
    case 'known':
      return `known ${answer.to ?? '-'}${answer.next ? `: ${sayNext(answer.next)}` : ''}`;
    case 'taken':
      return `taken ${answer.to}: ${sayNext(answer.next)}`;
  }
}

interface Asked {
  readonly uid?: number;
  readonly level?: Level;
  readonly restoreTo?: ReadableFolder;
  readonly again?: true;
  readonly steps?: readonly Step[];
}
function take(entry: Standing, mode: Onto['mode'], action: ActionName, asked: Asked = {}): Answer {
  return rules.take(entry, uid(asked.uid ?? entry.uid ?? 10), {
    action,
    steps: asked.steps ?? stepsOf[action],
    mode,
    dropId: 'N',
    folder: entry.folder ?? 'caught',
    level: asked.level ?? 'recipient',
    restoreTo: asked.restoreTo,
    again: asked.again === true,
  });
}

t.test('a drop: what becomes of the entry', async (t) => {
  type Row = readonly [string, Standing, Onto['mode'], ActionName, string, Asked?];
  const none = held({ recipient: '' });
  const outgoing = held({ direction: 'outgoing', folder: 'outgoing' });
  const leased = [job('D', 'deliver', 'leased')];
  const alsoSpam: readonly Step[] = ['train-spam'];
  const alsoHam: readonly Step[] = ['deliver', 'train-ham'];
  const table: readonly Row[] = [
    // Held.
    ['held', held(), 'move', 'release', 'taken action: dropped none ends +deliver'],
    ['held', held(), 'copy', 'release', 'taken action: dropped caught goes-on +deliver'],
    ['held', held(), 'append', 'release', 'taken action: dropped caught goes-on +deliver'],
    ['held', held(), 'move', 'release-train', 'taken action: dropped none ends +deliver +train-ham'],
    ['held', held(), 'move', 'spam', 'taken action: trained trash begins:trash +train-spam'],
    ['held', held(), 'copy', 'spam', 'taken action: held caught goes-on +train-spam copied:N'],
    ['held', held(), 'move', 'not-spam', 'taken action: trained trash begins:trash +train-ham'],
    ['held', held(), 'move', 'discard', 'taken stay: discarded trash begins:trash'],
    ['held', held(), 'copy', 'discard', 'taken stay: discarded trash begins:trash'],
    ['held', held(), 'move', 'restore', 'refused not-allowed', { restoreTo: 'caught' }],
    ['held outgoing', outgoing, 'move', 'release', 'taken action: dropped none ends +deliver'],
    ['for nobody', none, 'move', 'release', 'refused no-recipient'],
    ['for nobody', none, 'copy', 'release-train', 'refused no-recipient'],
    ['for nobody', none, 'move', 'spam', 'taken action: trained trash begins:trash +train-spam'],
    ['training request', request(), 'move', 'release', 'refused not-allowed'],
    ['training request', request(), 'copy', 'release-train', 'refused not-allowed'],
    ['training request', request(), 'move', 'not-spam', 'taken action: trained trash begins:trash +train-ham'],
    ['training request', request(), 'move', 'discard', 'taken stay: discarded trash begins:trash'],
    // Copied onto Spam, still held.
    ['trained copy', trainedCopy(), 'copy', 'spam', 'known 20'],
    ['trained copy', trainedCopy(), 'move', 'spam', 'known 20: trained trash begins:trash'],
    [
      'trained copy',
      trainedCopy(),
      'move',
      'not-spam',
      'taken action: trained trash begins:trash +train-ham -D/10/train-spam over:20',
    ],
    [
      'trained copy',
      trainedCopy(),
      'copy',
      'not-spam',
      'taken action: held caught goes-on +train-ham -D/10/train-spam copied:N over:20',
    ],
    ['trained copy', trainedCopy(), 'move', 'release', 'taken action: dropped none ends +deliver copied:D'],
    ['trained copy', trainedCopy(), 'move', 'discard', 'taken stay: trained trash begins:trash'],
    // Dropped or released by COPY, still in view.
    ['copied', copied(), 'copy', 'release', 'known 20'],
    ['copied', copied(), 'move', 'release', 'known 20: dropped none ends'],
    ['copied', copied(), 'move', 'release-train', 'refused released'],
    ['copied', copied(), 'move', 'spam', 'refused released'],
    ['copied', copied(), 'move', 'discard', 'known -: dropped none ends'],
    ['copied', copied(), 'copy', 'discard', 'known -: dropped none ends'],
    ['copied, delivered', copied('release', { state: 'released', leaveAt: 9 }), 'copy', 'release', 'known 20'],
    [
      'copied, delivered',
      copied('release', { state: 'released', leaveAt: 9 }),
      'move',
      'release',
      'known 20: released none ends',
    ],
    ['copied, delivered', copied('release', { state: 'released' }), 'move', 'not-spam', 'refused released'],
    // Waiting (DESIGN §7.6).
    ['waiting', waiting(), 'move', 'release', 'known 20: dropped none ends !D/10/deliver'],
    ['waiting', waiting(), 'copy', 'release', 'known 20: dropped caught goes-on !D/10/deliver'],
    ['waiting', waiting(), 'move', 'release-train', 'refused released'],
    ['waiting', waiting(), 'move', 'discard', 'taken stay: discarded trash begins:trash -D/10/deliver over:20'],
    [
      'waiting',
      waiting(),
      'move',
      'spam',
      'taken action: trained trash begins:trash +train-spam -D/10/deliver over:20',
    ],
    [
      'waiting',
      waiting(),
      'copy',
      'not-spam',
      'taken action: held caught goes-on +train-ham -D/10/deliver copied:N over:20',
    ],
    ['being delivered', waiting({ jobs: leased }), 'move', 'discard', 'refused being-delivered'],
    ['being delivered', waiting({ jobs: leased }), 'copy', 'spam', 'refused being-delivered'],
    ['being delivered', waiting({ jobs: leased }), 'move', 'release', 'known 20: dropped none ends'],
    // In Trash.
    ['discarded', discarded(), 'move', 'restore', 'taken stay: held caught begins:caught', { restoreTo: 'caught' }],
    ['discarded', discarded(), 'copy', 'restore', 'taken stay: held caught begins:caught', { restoreTo: 'caught' }],
    ['discarded', discarded(), 'move', 'restore', 'refused not-allowed', { restoreTo: 'outgoing' }],
    ['discarded', discarded(), 'move', 'restore', 'refused not-allowed'],
    [
      'discarded outgoing',
      discarded({ direction: 'outgoing' }),
      'move',
      'restore',
      'taken stay: held caught begins:outgoing',
      { restoreTo: 'outgoing' },
    ],
    [
      'discarded request',
      discarded({ class: 'training' }),
      'move',
      'restore',
      'taken stay: held training begins:training',
      { restoreTo: 'training' },
    ],
    ['discarded', discarded(), 'move', 'spam', 'taken action: trained trash begins:trash +train-spam'],
    ['discarded', discarded(), 'copy', 'spam', 'taken action: trained trash begins:trash +train-spam'],
    ['discarded', discarded(), 'move', 'release', 'refused not-allowed'],
    ['discarded', discarded(), 'move', 'discard', 'refused not-allowed'],
    [
      'trained',
      trained(),
      'move',
      'not-spam',
      'taken action: trained trash begins:trash +train-ham -D/10/train-spam over:20',
    ],
    [
      'trained, its training over',
      trained({ jobs: [job('D', 'train-spam', 'done')] }),
      'move',
      'not-spam',
      'taken action: trained trash begins:trash +train-ham over:20',
    ],
    // Restoring does not untrain: the job goes on.
    ['trained', trained(), 'move', 'restore', 'taken stay: held caught begins:caught over:20', { restoreTo: 'caught' }],
    ['expunged at this level', discarded({ hidden: 1 }), 'move', 'spam', 'unknown'],
    [
      'expunged at another level',
      discarded({ hidden: 1 }),
      'move',
      'spam',
      'taken action: trained trash begins:trash +train-spam',
      { level: 'domain' },
    ],
    // Learned besides (DropRequest.steps): the rules of drops with several jobs.
    ['held', held(), 'move', 'discard', 'taken stay: discarded trash begins:trash +train-spam', { steps: alsoSpam }],
    ['held', held(), 'move', 'release', 'taken action: dropped none ends +deliver +train-ham', { steps: alsoHam }],
    ['held', held(), 'copy', 'release', 'taken action: dropped caught goes-on +deliver +train-ham', { steps: alsoHam }],
    [
      'waiting',
      waiting(),
      'move',
      'discard',
      'taken stay: discarded trash begins:trash +train-spam -D/10/deliver over:20',
      { steps: alsoSpam },
    ],
    // What a copy taught is what its person said.
    ['trained copy', trainedCopy(), 'move', 'discard', 'taken stay: trained trash begins:trash', { steps: alsoSpam }],
    [
      'trained copy',
      trainedCopy(),
      'move',
      'release',
      'taken action: dropped none ends +deliver +train-ham -D/10/train-spam copied:D',
      { steps: alsoHam },
    ],
    // A restore calls the training of a discard off, and what that had taken the place of is learned after all.
    [
      'discarded and to be learned',
      discarded({ jobs: [job('D', 'train-spam')] }),
      'move',
      'restore',
      'taken stay: held caught begins:caught -D/10/train-spam',
      { restoreTo: 'caught' },
    ],
    [
      'discarded and being learned',
      discarded({
        jobs: [job('D', 'train-spam', 'leased'), { ...job('C', 'train-ham', 'cancelled'), cancelledBy: 'D' }],
      }),
      'move',
      'restore',
      'taken stay: held caught begins:caught -D/10/train-spam ^C/10/train-ham',
      { restoreTo: 'caught' },
    ],
    [
      'discarded and learned',
      discarded({
        jobs: [job('D', 'train-spam', 'done'), { ...job('C', 'train-ham', 'cancelled'), cancelledBy: 'D' }],
      }),
      'move',
      'restore',
      'taken stay: held caught begins:caught',
      { restoreTo: 'caught' },
    ],
    [
      'discarded and to be learned',
      discarded({ jobs: [job('D', 'train-spam')] }),
      'move',
      'not-spam',
      'taken action: trained trash begins:trash +train-ham -D/10/train-spam',
    ],
    // A UID that is over (10): explained by the same action, refused after another.
    ['moved', moved(), 'move', 'release', 'known 20', { uid: 10 }],
    ['moved', moved(), 'copy', 'release', 'known 20', { uid: 10 }],
    ['delivered', moved('release', { state: 'released' }), 'move', 'release', 'known 20', { uid: 10 }],
    ['moved', moved(), 'move', 'release-train', 'refused released', { uid: 10 }],
    ['moved', moved(), 'move', 'discard', 'refused released', { uid: 10 }],
    ['trained', trained(), 'move', 'spam', 'known 20', { uid: 10 }],
    ['trained', trained(), 'move', 'release', 'refused trained', { uid: 10 }],
    ['discarded', discarded(), 'move', 'discard', 'known 20', { uid: 10 }],
    ['discarded', discarded(), 'move', 'release', 'refused discarded', { uid: 10 }],
    [
      'held again',
      held({ uid: uid(40), dropId: 'D', targets: [target('D', 'release')] }),
      'move',
      'release',
      'unknown',
      { uid: 10 },
    ],
    [
      'expired',
      held({ state: 'expired', uid: undefined, folder: undefined }),
      'move',
      'release',
      'unknown',
      { uid: 10 },
    ],
    ['waiting', waiting(), 'move', 'release', 'known 20', { uid: 10 }],
  ];
  for (const [name, entry, mode, action, expected, asked] of table)
    t.equal(say(take(entry, mode, action, asked)), expected, `${name}, ${mode} onto ${action}`);
});

t.test('flags: what a stay keeps', async (t) => {
  const flags = { recipient: '\\Seen \\Deleted $x', domain: '\\Flagged', global: '' };
  const next = (answer: Answer): Next => {
    if ('next' in answer && answer.next) return answer.next;
    throw new Error(`nothing becomes of it: ${answer.kind}`);
  };
  t.strictSame(
    next(take(held({ flags }), 'copy', 'release')).flags,
    { recipient: '\\Seen \\Deleted $x $Releasing', domain: '\\Flagged $Releasing', global: '$Releasing' },
    'a copy on its way says so at all levels',
  );
  t.strictSame(
    next(take(held({ flags }), 'copy', 'spam')).flags,
    { recipient: '\\Seen \\Deleted $x $Trained', domain: '\\Flagged $Trained', global: '$Trained' },
    'a trained copy says so',
  );
  t.strictSame(
    next(take(held({ flags }), 'move', 'discard')).flags,
    { recipient: '\\Seen $x', domain: '\\Flagged', global: '' },
    'in Trash it is not deleted already',
  );
  t.strictSame(
    next(take(discarded({ flags }), 'move', 'restore', { restoreTo: 'caught' })).flags,
    { recipient: '$x', domain: '\\Flagged', global: '' },
    'what comes back is neither read nor deleted',
  );
  t.strictSame(next(take(copied(), 'move', 'release')).flags, all(''), '$Releasing goes with the stay');
  t.strictSame(rules.comesBack(copied(), undefined).flags, all('$ReleaseFailed'), 'a failure says so');
  t.strictSame(
    rules.shown(moved('release', { flags: all('\\Seen $ReleaseFailed') }), '').flags,
    all('$Releasing'),
    'what waits has not failed',
  );
  t.strictSame(next(take(waiting(), 'copy', 'spam')).flags, all('$Trained'), 'what is trained does not wait any more');
  t.notOk(next(take(waiting(), 'copy', 'spam')).waiting);
});

t.test('undo', async (t) => {
  const by = (account = 'ada@harbour.example', backTo?: ReadableFolder) => ({ account, backTo });
  const undo = (entry: Standing, who = by(), of: Target = entry.targets[0]!): string => {
    const undone = rules.undo(entry, of, who);
    if (undone.kind === 'undone') return sayNext(undone.next);
    return undone.kind === 'refused' ? `refused ${undone.reason}` : 'ignored';
  };
  const undoSecond = (was: Partial<Target>) => undo(retrained(was), by(), { ...second, ...was });
  const table: readonly (readonly [string, string, string])[] = [
    ['a MOVE', undo(moved()), 'held caught begins:caught -D/10/deliver over:20'],
    [
      'with all its jobs',
      undo(moved('release-train')),
      'held caught begins:caught -D/10/deliver -D/10/train-ham over:20',
    ],
    ['a COPY: a new UID as well', undo(copied()), 'held caught begins:caught -D/10/deliver over:20'],
    ['what waits', undo(waiting()), 'held caught begins:caught -D/10/deliver over:20'],
    ['Spam, out of Trash', undo(trained()), 'held caught begins:caught -D/10/train-spam over:20'],
    ['a copy onto Spam', undo(trainedCopy()), 'held caught begins:caught -D/10/train-spam over:20'],
    [
      'what was taken out of Trash goes back into it',
      undo(trained({ targets: [target('D', 'spam', { cameFrom: 'trash' })] })),
      'discarded trash begins:trash -D/10/train-spam over:20',
    ],
    [
      'what was trained before is trained again, and learned after all',
      undoSecond({ cameFrom: 'trash', wasState: 'trained', wasDropId: 'D' }),
      'trained trash begins:trash -E/10/train-ham ^D/10/train-spam over:22 reopen:20',
    ],
    [
      'a copy that was on Spam before is so again',
      undoSecond({ wasCopiedBy: 'D' }),
      'held caught begins:caught -E/10/train-ham ^D/10/train-spam copied:D over:22 reopen:20',
    ],
    [
      'what was put back first comes back held, and what it taught is learned after all',
      undoSecond({ wasDropId: 'R' }),
      'held caught begins:caught -E/10/train-ham ^D/10/train-spam over:22',
    ],
    [
      'while it is being delivered',
      undo(moved('release', { jobs: [job('D', 'deliver', 'leased')] })),
      'refused on-its-way',
    ],
    [
      'delivered',
      undo(moved('release', { state: 'released', jobs: [job('D', 'deliver', 'done')] })),
      'refused on-its-way',
    ],
    ['a training that runs', undo(trained({ jobs: [job('D', 'train-spam', 'leased')] })), 'refused on-its-way'],
    [
      'a running training does not hold the delivery back',
      undo(moved('release-train', { jobs: [job('D', 'deliver'), job('D', 'train-ham', 'leased')] })),
      'held caught begins:caught -D/10/deliver -D/10/train-ham over:20',
    ],
    [
      'a training under a release',
      undo(trainedCopy({ state: 'dropped', uid: undefined, dropId: 'E' })),
      'refused on-its-way',
    ],
    [
      'back to the folder it came from',
      undo(moved(), by(undefined, 'caught')),
      'held caught begins:caught -D/10/deliver over:20',
    ],
    ['back to another folder', undo(moved(), by(undefined, 'outgoing')), 'ignored'],
    ['by another account', undo(moved(), by('ben@harbour.example')), 'ignored'],
    ['undone already', undo(held({ uid: uid(40), dropId: 'D', targets: [target('D', 'release')] })), 'ignored'],
    ['taken again since', undo(moved('release', { dropId: 'E' })), 'ignored'],
    ['a discard', undo(discarded()), 'ignored'],
  ];
  for (const [name, actual, expected] of table) t.equal(actual, expected, name);
  const back = rules.undo(trainedCopy(), target('D', 'spam'), by());
  t.strictSame(back.kind === 'undone' && back.next.flags, all(''), 'what is not trained does not say so');
  const expunged = rules.undo(trained({ flags: all('$Trained $x') }), target('D', 'spam'), by());
  t.strictSame(expunged.kind === 'undone' && expunged.next.flags, all('$x'), 'also where its copy was expunged since');
});

t.test('rolling back', async (t) => {
  const rollBack = (entry: Standing): string => {
    const next = rules.rollBack(entry, entry.targets[0]!);
    return next ? `${sayNext(next)} [${next.flags.global}]` : 'nothing';
  };
  t.equal(rollBack(copied()), 'held caught goes-on -D/10/deliver over:20 []', 'a copy stays under its UID');
  t.equal(rollBack(trainedCopy()), 'held caught goes-on -D/10/train-spam over:20 []');
  t.equal(
    rollBack(copied('release', { uid: undefined, folder: undefined, place: 'none' })),
    'held caught begins:caught -D/10/deliver over:20 []',
    'expunged meanwhile: a new UID',
  );
  t.equal(
    rollBack(trained({ dropId: 'D' })),
    'held caught begins:caught -D/10/train-spam over:20 []',
    'expunged meanwhile, so in Trash',
  );
  t.equal(rollBack(discarded()), 'held caught begins:caught []', 'a discard');
  t.equal(
    rollBack(trained({ dropId: 'S', jobs: [], uid: uid(20), targets: [target('D', 'discard', { wasCopiedBy: 'S' })] })),
    'held caught begins:caught copied:S []',
    'the discard of a trained copy: a trained copy again',
  );
  t.equal(
    rollBack(held({ uid: uid(20), dropId: 'D', targets: [target('D', 'restore', { cameFrom: 'trash' })] })),
    'discarded trash begins:trash []',
    'a restore',
  );
  t.equal(
    rollBack(trainedCopy({ state: 'dropped', place: 'none', uid: undefined, dropId: 'E' })),
    'dropped none goes-on -D/10/train-spam over:20 []',
    'a release has taken the copy: only the training goes',
  );
  t.equal(
    rollBack(
      trainedCopy({
        copiedBy: 'E',
        jobs: [{ ...job('D', 'train-spam', 'cancelled'), cancelledBy: 'E' }, job('E', 'train-ham')],
        targets: [{ ...second, wasCopiedBy: 'D' }, target('D', 'spam')],
      }),
    ),
    'held caught goes-on -E/10/train-ham ^D/10/train-spam copied:D over:22 reopen:20 [$Trained]',
    'what took the place of another training gives it back',
  );
  t.equal(rollBack(held({ uid: uid(40), targets: [target('D', 'release')] })), 'nothing', 'undone meanwhile');
});

t.test('EXPUNGE', async (t) => {
  const expunge = (entry: Standing, level: Level = 'recipient'): string => {
    const next = rules.expunge(entry, level, 'X');
    return `${sayNext(next)} by ${next.dropId ?? '-'} hidden ${next.hidden}`;
  };
  t.equal(expunge(held()), 'discarded trash begins:trash by X hidden 0', 'discards');
  t.equal(expunge(request()), 'discarded trash begins:trash by X hidden 0', 'a training request, too');
  t.equal(
    expunge(trainedCopy()),
    'trained trash begins:trash by D hidden 0',
    'a trained copy: what the MOVE would have done',
  );
  t.equal(expunge(copied()), 'dropped none ends by D hidden 0', 'a copy on its way only leaves');
  t.equal(expunge(copied('release', { state: 'released', leaveAt: 7 })), 'released none ends by D hidden 0');
  t.equal(expunge(waiting()), 'dropped none ends by D hidden 0', 'what waits only leaves');
  t.equal(expunge(discarded()), 'discarded trash goes-on by D hidden 1', 'in Trash for one level');
  t.equal(expunge(discarded({ hidden: 1 }), 'global'), 'discarded trash goes-on by D hidden 5');
});

t.test('deliveries', async (t) => {
  t.equal(sayNext(rules.delivered(moved(), 9)), 'released none goes-on');
  t.equal(sayNext(rules.delivered(copied(), 9)), 'released caught goes-on', 'a copy stays for a while');
  t.equal(rules.delivered(copied(), 9).leaveAt, 9);
  t.equal(sayNext(rules.delivered(copied(), undefined)), 'released none ends');
  t.equal(sayNext(rules.delivered(waiting(), 9)), 'released none ends', 'what waited leaves at once');
  t.equal(sayNext(rules.leavesView(copied('release', { state: 'released', leaveAt: 9 }))), 'released none ends');

  const leased = [job('D', 'deliver', 'leased'), job('D', 'train-ham')];
  t.equal(
    sayNext(rules.comesBack(moved('release-train', { jobs: leased }), 'X')),
    'held caught begins:caught -D/10/deliver over:20',
    'a failed delivery comes back; its training goes on',
  );
  t.equal(
    sayNext(rules.comesBack(moved('release', { state: 'released', jobs: [job('D', 'deliver', 'done')] }), 'X')),
    'held caught begins:caught over:20',
    'handed back after the delivery',
  );
  const outgoing = rules.comesBack(moved('release', { direction: 'outgoing' }), 'X-Lazaret-Status: no\r\n');
  t.strictSame(outgoing.stay, { folder: 'outgoing', prefix: 'X-Lazaret-Status: no\r\n' });
  const shown = rules.shown(moved(), 'X');
  t.equal(sayNext(shown), 'dropped caught begins:caught');
  t.ok(shown.waiting);
});
