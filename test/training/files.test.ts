/** The trainers that put messages into files: Maildir and mbox. */
import { chmod, mkdir, readdir, readFile, rename, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fileNameOf, pathFor } from '#app/training/file-name';
import { createMaildirTrainer } from '#app/training/maildir';
import { createMboxTrainer, mboxForm } from '#app/training/mbox';
import { lessonOf, patience } from '../support/lesson.ts';

const message = (subject: string) => `From: a@spam.example\r\nSubject: ${subject}\r\n\r\nBuy.\r\n`;
const isRoot = process.getuid?.() === 0;

function maildirs(t: Test) {
  const folder = t.testdir();
  const trainer = createMaildirTrainer({ name: 'files', spam: join(folder, 'spam'), ham: join(folder, 'ham') });
  const lying = async (klass: string, part = 'new') => {
    const names = await readdir(join(folder, klass, part)).catch(() => []);
    return Promise.all(names.map((name) => readFile(join(folder, klass, part, name), 'latin1')));
  };
  return { folder, trainer, lying };
}

t.test('a Maildir has a message once, whole, and where it was said last', async (t) => {
  const { folder, trainer, lying } = maildirs(t);
  const odd = Buffer.from('Subject: \xfc\0\n\r\r\nbare\n.\n', 'latin1');
  t.match(await trainer.train(lessonOf(odd), patience()), { kind: 'learned', said: /^put into .*spam$/ });
  t.same(await lying('spam'), [odd.toString('latin1')]);
  t.same(await readdir(join(folder, 'spam')), ['cur', 'new', 'tmp']);
  t.same(await readdir(join(folder, 'spam/tmp')), []);
  t.match(await trainer.train(lessonOf(odd), patience()), { kind: 'known' }, 'a try after a crash');
  t.equal((await lying('spam')).length, 1);
  t.equal(
    (await stat(join(folder, 'spam/new', (await readdir(join(folder, 'spam/new')))[0] as string))).mode & 0o777,
    0o600,
  );

  const mind = lessonOf(odd, { class: 'ham', before: 'spam' });
  t.match(await trainer.train(mind, patience()), { kind: 'learned', said: /^put into .*ham, taken out of .*spam$/ });
  t.same([await lying('spam'), (await lying('ham')).length], [[], 1]);
  t.match(await trainer.train(mind, patience()), { kind: 'known' });

  // A reader has taken it up.
  const [name] = await readdir(join(folder, 'ham/new'));
  await rename(join(folder, 'ham/new', name as string), join(folder, 'ham/cur', `${name}:2,S`));
  t.match(await trainer.train(mind, patience()), { kind: 'known' });
  t.same(await lying('ham'), []);
  await trainer.train(lessonOf(odd, { before: 'ham' }), patience());
  t.same([(await lying('spam')).length, await lying('ham', 'cur')], [1, []]);

  // The learner was faster: nothing to take out, and it is told all the same.
  const gone = lessonOf(message('gone'), { class: 'ham', before: 'spam' });
  t.match(await trainer.train(gone, patience()), { kind: 'learned' });
});

t.test('many at once, and what fails leaves nothing behind', async (t) => {
  const { folder, trainer, lying } = maildirs(t);
  await Promise.all(Array.from({ length: 20 }, (_, n) => trainer.train(lessonOf(message(String(n % 10))), patience())));
  t.same((await lying('spam')).sort(), Array.from({ length: 10 }, (_, n) => message(String(n))).sort());
  const broken = {
    ...lessonOf(),
    async *message() {
      yield Buffer.from('half');
      throw new Error('the store is away');
    },
  };
  t.match(await trainer.train(broken, patience()), { kind: 'later', said: /^nothing can be put into/ });
  const time = new AbortController();
  time.abort(new Error('it took too long'));
  t.same(await trainer.train(lessonOf(message('late')), time.signal), { kind: 'later', said: 'it took too long' });
  t.same(await readdir(join(folder, 'spam/tmp')), []);
  t.equal((await lying('spam')).length, 10);
  await writeFile(join(folder, 'file'), '');
  const nowhere = createMaildirTrainer({ name: 'files', spam: join(folder, 'file/spam'), ham: '' });
  t.match(await nowhere.train(lessonOf(), patience()), { kind: 'later', said: /\(ENOTDIR\)/ });
});

t.test('a user is one part of a path, whatever he is called', async (t) => {
  const names = [
    'ada@harbour.example',
    'ada+x@h.example',
    '../../etc@h.example',
    '.@h.example',
    'a/b@h.example',
    'a%2Fb@h.example',
    'ä@h.example',
    'a\0b',
  ];
  const files = names.map(fileNameOf);
  t.same(files.slice(0, 4), ['ada@harbour.example', 'ada+x@h.example', '%2E.%2F..%2Fetc@h.example', '%2E@h.example']);
  t.equal(new Set(files).size, names.length);
  for (const file of files) t.match(file, /^[^./\0][^/\0]*$/);
  t.equal(pathFor('/x/{user}/{user}', 'a/b'), '/x/a%2Fb/a%2Fb');
  t.equal(pathFor('/x/{user}', undefined), '/x/{user}');

  const folder = t.testdir();
  const trainer = createMaildirTrainer({
    name: 'f',
    spam: join(folder, '{user}/spam'),
    ham: join(folder, '{user}/ham'),
  });
  await trainer.train(lessonOf('m', { user: '../ben@quay.example' }), patience());
  t.same(await readdir(folder), ['%2E.%2Fben@quay.example']);
});

// --------------------------------------------------------------------------------------------------------------- mbox

function mboxes(t: Test, staleLockMs?: number) {
  const folder = t.testdir();
  const spam = join(folder, 'deep', 'spam.mbox');
  const trainer = createMboxTrainer({
    name: 'mbox',
    spam,
    ham: join(folder, 'ham.mbox'),
    ...(staleLockMs !== undefined && { staleLockMs }),
    now: () => Date.UTC(2026, 10, 8, 13, 11, 24),
  });
  return { folder, spam, trainer, text: () => readFile(spam, 'latin1') };
}
const from = 'From promo@spam.example Sun Nov 08 13:11:24 2026\n';
const inMbox = (subject: string) => `${from}${message(subject).replaceAll('\r\n', '\n')}\n`;

t.test('an mbox gets messages one behind the other, each once', async (t) => {
  const { folder, spam, trainer, text } = mboxes(t);
  t.match(await trainer.train(lessonOf(message('1')), patience()), { kind: 'learned', said: `appended to ${spam}` });
  t.match(await trainer.train(lessonOf(message('2'), { sender: '' }), patience()), { kind: 'learned' });
  const second = inMbox('2').replace('promo@spam.example', 'MAILER-DAEMON');
  t.equal(await text(), inMbox('1') + second);
  for (const known of ['1', '2'])
    t.match(await trainer.train(lessonOf(message(known), { sender: '' }), patience()), { kind: 'known' });
  t.equal(await text(), inMbox('1') + second);
  t.same((await readdir(join(folder, 'deep'))).sort(), ['spam.mbox', 'spam.mbox.lazaret'], 'and no lock');
  await Promise.all(
    Array.from({ length: 20 }, (_, n) => trainer.train(lessonOf(message(`many ${n % 10}`)), patience())),
  );
  t.equal((await text()).split('\nSubject: many').length, 11);
  t.equal((await text()).match(/^From /gm)?.length, 12);
  t.match(await trainer.train(lessonOf(message('1'), { class: 'ham', before: 'spam' }), patience()), {
    kind: 'learned',
  });
  t.equal(await readFile(join(folder, 'ham.mbox'), 'latin1'), inMbox('1'));
});

t.test('what a crash left half is taken off, and what others did is left alone', async (t) => {
  const { spam, trainer, text } = mboxes(t);
  const train = (subject: string) => trainer.train(lessonOf(message(subject)), patience());
  await train('1');
  await train('2');
  for (let cut = inMbox('1').length; cut < inMbox('1').length * 2; cut += 7) {
    await truncate(spam, cut);
    t.match(await train('2'), { kind: 'learned' }, `cut at ${cut}`);
    t.equal(await text(), inMbox('1') + inMbox('2'));
  }
  await truncate(spam, inMbox('1').length + 9);
  await train('3');
  t.equal(await text(), inMbox('1') + inMbox('3'), 'also when another comes first');

  // A learner has emptied it: what comes is new to it.
  await truncate(spam, 0);
  t.match(await train('1'), { kind: 'learned' });
  t.equal(await text(), inMbox('1'));
  await writeFile(spam, 'From x Sun Nov 08 13:11:24 2026\n\nby others');
  await train('4');
  t.equal(await text(), `From x Sun Nov 08 13:11:24 2026\n\nby others\n\n${inMbox('4')}`);
  t.match(await train('1'), { kind: 'learned' }, 'where it was there is something else now');
  await writeFile(`${spam}.lazaret`, 'nonsense\n1 2\n');
  t.match(await train('5'), { kind: 'learned' });

  const broken = {
    ...lessonOf(),
    async *message() {
      yield Buffer.from('half');
      if (reads++ === 2) throw new Error('the store is away');
    },
  };
  let reads = 0;
  const before = await text();
  t.match(await trainer.train(broken, patience()), { kind: 'later', said: /^nothing can be appended/ });
  t.equal(await text(), before);
  t.match(await trainer.train(broken, patience()), { kind: 'learned' });
});

t.test('nobody writes while another program has the lock', async (t) => {
  const { folder, spam, trainer, text } = mboxes(t, 60_000);
  await mkdir(join(folder, 'deep'));
  await writeFile(`${spam}.lock`, '');
  const time = new AbortController();
  const waits = trainer.train(lessonOf(message('1')), time.signal);
  setImmediate(() => time.abort(new Error('it took too long')));
  t.same(await waits, { kind: 'later', said: 'it took too long' });
  t.same(await readdir(join(folder, 'deep')), ['spam.mbox.lock']);
  const long = new Date(Date.now() - 61_000);
  await utimes(`${spam}.lock`, long, long);
  t.match(await trainer.train(lessonOf(message('1')), patience()), { kind: 'learned' }, 'it was left behind');
  t.equal(await text(), inMbox('1'));
  t.same((await readdir(join(folder, 'deep'))).sort(), ['spam.mbox', 'spam.mbox.lazaret']);
  await chmod(join(folder, 'deep'), 0o500);
  if (!isRoot) t.match(await trainer.train(lessonOf(message('2')), patience()), { kind: 'later', said: /EACCES/ });
  await chmod(join(folder, 'deep'), 0o700);
});

t.test('lines that look like a beginning are quoted, however the octets come', async (t) => {
  async function form(text: string, cuts: number): Promise<string> {
    const octets = Buffer.from(text, 'latin1');
    async function* source() {
      for (let at = 0; at < octets.length; at += cuts) yield octets.subarray(at, at + cuts);
    }
    const pieces: Buffer[] = [];
    for await (const piece of mboxForm('From x\n', source())) pieces.push(piece);
    return Buffer.concat(pieces).toString('latin1');
  }
  const table: readonly (readonly [string, string])[] = [
    ['', '\n'],
    ['a', 'a\n\n'],
    ['a\r\n', 'a\n\n'],
    [
      'From a\r\n>From b\r\n>>>From c\r\n From d\r\nFrom\r\nFrom: e\r\n',
      '>From a\n>>From b\n>>>>From c\n From d\nFrom\nFrom: e\n\n',
    ],
    ['x\rFrom a\nFrom b', 'x\rFrom a\n>From b\n\n'],
    ['Fro', 'Fro\n\n'],
    ['FrFrom a\r\n>Fr\r\n', 'FrFrom a\n>Fr\n\n'],
    ['\r', '\r\n\n'],
    ['\r\r\n\r\n', '\r\n\n\n'],
    ['>'.repeat(70_000), `${'>'.repeat(70_000)}\n\n`],
    ['a\0\xff\r\n', 'a\0\xff\n\n'],
  ];
  for (const [given, expected] of table)
    for (const cuts of [1, 2, 3, 7, 100_000])
      if (given.length < 1000 || cuts > 100)
        t.equal(await form(given, cuts), `From x\n${expected}`, `${JSON.stringify(given.slice(0, 40))} by ${cuts}`);
});
