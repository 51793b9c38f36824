import {
  appendFileSync,
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import t, { type Test } from 'tap';
import type { FoundMail } from '#app/files/mail-files';
import { Memory } from '#app/files/memory';
import { FolderWatch, type WatchOptions } from '#app/files/watch';
import { BadMail } from '#app/lib/bad-mail';
import type { Log } from '#app/observe/log';
import { silent } from '#app/observe/log';

const mail = (subject: string) => `Subject: ${subject}\n\nbody\n`;
const hour = 3_600_000;

/** A folder, and what was taken out of it, in memory. */
function place(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'lazaret-watch-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const inbox = join(folder, 'in');
  mkdirSync(inbox);
  const kept = new Map<string, Uint8Array>();
  const marks: WatchOptions['marks'] = {
    get: async (name) => kept.get(name),
    put: async (name, value) => void kept.set(name, value),
  };
  const subjects: string[] = [];
  const told: string[] = [];
  const log: Log = { ...silent, warn: (facts, text) => told.push(`${text}: ${JSON.stringify(facts)}`) };
  const waiting: (() => void)[] = [];
  const take = async (found: FoundMail) => {
    let text = '';
    for await (const part of found.source) text += Buffer.from(part).toString('latin1');
    const subject = /^Subject: (.*)$/m.exec(text)?.[1] ?? '';
    if (subject === 'bad') throw new BadMail('nothing tells whom it was sent to');
    const isNew = !subjects.includes(subject);
    subjects.push(subject);
    for (const look of waiting) look();
    return isNew;
  };
  return {
    folder,
    inbox,
    subjects,
    told,
    marks,
    kept,
    watch: (more: Partial<WatchOptions> = {}) =>
      new FolderWatch({
        folder: inbox,
        afterwards: { kind: 'keep' },
        everyMs: hour,
        settleMs: 0,
        marks,
        take,
        log,
        ...more,
      }),
    write(name: string, content: string) {
      mkdirSync(dirname(join(inbox, name)), { recursive: true });
      writeFileSync(join(inbox, name), content);
    },
    there: (under = inbox) =>
      readdirSync(under, { recursive: true, withFileTypes: true })
        .filter((each) => each.isFile())
        .map((each) => relative(under, join(each.parentPath, each.name)))
        .sort(),
    /** Resolves when a mail of that subject was taken. */
    taken: (subject: string) =>
      new Promise<void>((resolve) => {
        const look = () => {
          if (subjects.includes(subject)) resolve();
        };
        waiting.push(look);
        look();
      }),
  };
}

t.test('each file is taken once, also by a watch that begins anew', async (t) => {
  const { watch, write, subjects, kept, inbox } = place(t);
  write('a.eml', mail('a'));
  write('2026/11/b.eml', mail('b'));
  write(
    'box.mbox',
    `From x@y.example Tue Nov 24 18:00:00 2026\n${mail('c')}\nFrom x@y.example Tue Nov 24 18:00:00 2026\n${mail('d')}`,
  );
  const one = watch();
  t.same(await one.look(), { taken: 3, known: 0, bad: 0, waiting: 0 });
  t.same(await one.look(), { taken: 0, known: 0, bad: 0, waiting: 0 });
  t.same(await watch().look(), { taken: 0, known: 0, bad: 0, waiting: 0 });
  t.same(subjects.sort(), ['a', 'b', 'c', 'd']);
  write('a.eml', mail('written anew'));
  write('e.eml', mail('e'));
  t.same(await watch().look(), { taken: 2, known: 0, bad: 0, waiting: 0 });
  for (const name of ['a.eml', 'e.eml', 'box.mbox', '2026']) rmSync(join(inbox, name), { recursive: true });
  await watch().look();
  t.equal(
    [...kept.values()].reduce((sum, { length }) => sum + length, 0),
    0,
    'what is gone is forgotten',
  );
});

t.test('a file that is not complete is waited for', async (t) => {
  const { watch, write, subjects, inbox } = place(t);
  write('fresh.eml', mail('fresh'));
  const patient = { look: () => watch({ settleMs: hour }).look() };
  t.same(await patient.look(), { taken: 0, known: 0, bad: 0, waiting: 1 });

  const open = openSync(join(inbox, 'fresh.eml'), 'a');
  t.same(await watch().look(), { taken: 0, known: 0, bad: 0, waiting: 1 }, 'somebody has it open');
  closeSync(open);
  t.same(await watch().look(), { taken: 1, known: 0, bad: 0, waiting: 0 });

  const queued = join(inbox, 'ABC123');
  copyFileSync(join(import.meta.dirname, '../fixtures/files/postfix-hold'), queued);
  chmodSync(queued, 0o600);
  t.match(await watch().look(), { taken: 0, waiting: 1 }, 'Postfix is not done with it');
  chmodSync(queued, 0o700);
  t.match(await patient.look(), { taken: 1, waiting: 0 });

  for (const name of ['new', 'cur', 'tmp']) mkdirSync(join(inbox, 'Maildir', name), { recursive: true });
  write('Maildir/tmp/1', mail('not there yet'));
  write('Maildir/new/2', mail('maildir'));
  t.match(await patient.look(), { taken: 1, waiting: 0 }, 'what stands in new is complete');
  renameSync(join(inbox, 'Maildir/new/2'), join(inbox, 'Maildir/cur/2:2,S'));
  t.match(await patient.look(), { taken: 0, known: 0 }, 'read by a client it is the same');
  t.same(
    subjects,
    ['fresh', 'changed, and a good deal longer than it was before the milter came by\r', 'maildir'].map((s) =>
      s.trim(),
    ),
  );
});

t.test('files are moved or deleted when their mail is kept, and never over another', async (t) => {
  const { watch, write, folder, inbox, there, told } = place(t);
  const done = join(folder, 'done');
  const move = () => watch({ afterwards: { kind: 'move', to: done } });
  write('sub/a.eml', mail('one'));
  t.match(await move().look(), { taken: 1 });
  write('sub/a.eml', mail('two'));
  t.match(await move().look(), { taken: 1 });
  t.same(there(), []);
  t.same(there(done), ['sub/a.eml', 'sub/a.eml.1']);

  write('b.eml', mail('three'));
  linkSync(join(inbox, 'b.eml'), join(done, 'b.eml'));
  await move().look();
  t.same(there(), [], 'killed between the two steps of moving, it goes on');
  t.same(there(done), ['b.eml', 'sub/a.eml', 'sub/a.eml.1']);

  mkdirSync(join(inbox, 'done'));
  write('c.eml', mail('four'));
  const inside = watch({ afterwards: { kind: 'move', to: join(inbox, 'done') } });
  t.match(await inside.look(), { taken: 1 });
  t.match(await inside.look(), { taken: 0, known: 0 }, 'what is done is not looked at');
  rmSync(join(inbox, 'done'), { recursive: true });

  write('d.eml', mail('five'));
  write('box.mbox', `From x@y.example Tue Nov 24 18:00:00 2026\n${mail('six')}`);
  t.match(await watch({ afterwards: { kind: 'delete' } }).look(), { taken: 1, bad: 1 });
  t.same(there(), ['box.mbox'], 'somebody may be adding to an mbox');
  t.match(told.join(), /an mbox file is not moved or deleted/);
});

t.test('a file that changes while it is taken stays, and is looked at again', async (t) => {
  const { watch, write, inbox, there, subjects } = place(t);
  write('a.eml', mail('a'));
  const deleting = watch({
    afterwards: { kind: 'delete' },
    async take(found) {
      for await (const _ of found.source);
      subjects.push('read');
      if (subjects.length === 1) appendFileSync(join(inbox, 'a.eml'), 'more\n');
      return true;
    },
  });
  await deleting.look();
  t.same(there(), ['a.eml'], 'not deleted: nobody has all of it');
  t.match(await deleting.look(), { taken: 1 });
  t.same(there(), []);
});

t.test('what is bad is told once and left; trouble of the store ends a look and nothing else', async (t) => {
  const { watch, write, there, told, subjects, inbox } = place(t);
  write('bad.eml', mail('bad'));
  write('empty', '');
  write('picture.jpg', '\u00ff');
  write('good.eml', mail('good'));
  const one = watch({ afterwards: { kind: 'delete' } });
  t.same(await one.look(), { taken: 1, known: 0, bad: 3, waiting: 0 });
  t.same(await one.look(), { taken: 0, known: 0, bad: 0, waiting: 0 });
  t.equal(told.length, 3, told.join('\n'));
  t.same(there(), ['bad.eml', 'empty', 'picture.jpg']);

  write('later.eml', mail('later'));
  const busy = Object.assign(new Error('no write lock'), { temporary: true });
  await t.rejects(watch({ take: () => Promise.reject(busy) }).look(), busy);
  t.notOk(subjects.includes('later'));
  t.same(await watch({ afterwards: { kind: 'delete' } }).look(), { taken: 1, known: 0, bad: 3, waiting: 0 });
  await t.rejects(watch({ folder: join(inbox, 'none') }).look(), { code: 'ENOENT' });
});

t.test('a watch that runs takes what comes, into new folders as well, and ends', { timeout: 30_000 }, async (t) => {
  const { watch, write, inbox, folder, taken, there } = place(t);
  const running = watch({ afterwards: { kind: 'delete' } });
  write('first.eml', mail('first'));
  running.start();
  await taken('first');
  writeFileSync(join(folder, 'second'), mail('second'));
  renameSync(join(folder, 'second'), join(inbox, 'second.eml'));
  await taken('second');
  mkdirSync(join(inbox, '20261128'));
  writeFileSync(join(inbox, '20261128/third'), mail('third'));
  await taken('third');
  await running.stop();
  t.same(there(), []);
  write('late.eml', mail('late'));
  t.ok(existsSync(join(inbox, 'late.eml')));
});

t.test('many files are remembered in small parts, each folder for itself', async (t) => {
  const { marks, kept } = place(t);
  const memory = new Memory(marks, '/folder');
  await memory.load();
  const ids = Array.from({ length: 2000 }, (_, i) =>
    (i * 2_654_435_761).toString(16).padStart(16, '0').slice(-8).repeat(2),
  );
  for (const id of ids) void memory.add(id);
  await memory.add(ids[0]!);
  const again = new Memory(marks, '/folder');
  await again.load();
  t.ok(ids.every((id) => again.has(id)));
  t.notOk(again.has('0123456789abcdef'));
  t.equal(kept.size, 64);
  await again.keepOnly(new Set(ids.slice(0, 3)));
  const third = new Memory(marks, '/folder');
  await third.load();
  t.same(
    ids.map((id) => third.has(id)),
    ids.map((_, i) => i < 3),
  );
  const other = new Memory(marks, '/other');
  await other.load();
  t.notOk(other.has(ids[0]!), 'each folder has its own');
});
