import t from 'tap';
import { Authenticator, Overloaded } from '#app/accounts/authenticate';
import { generatePassword } from '#app/accounts/generate';
import { parseAccountName } from '#app/accounts/names';
import { hashPassword, verifyPassword } from '#app/accounts/passwords';
import { Gate, Turns } from '#app/accounts/turns';
import { Lru } from '#app/lib/lru';
import { AddressBook } from '#app/policy/addresses';
import type { Account, Scope } from '#store/model';
import type { Accounts } from '#store/port';

const ours = new AddressBook({
  domains: { 'harbour.example': { aliases: ['harbor.example'] }, 'quay.example': {} },
  aliases: { 'info@quay.example': 'ben@quay.example' },
});
const everybody = new AddressBook({});

t.test('a login name is an account in its normal form', async (t) => {
  const names: readonly (readonly [typed: string, name: string | undefined, book?: AddressBook, global?: string])[] = [
    ['global', 'global'],
    ['GLOBAL', 'global'],
    [' global ', 'global'],
    ['ann*global', 'ann*global'],
    ['Ann*Global', 'ann*global'],
    ['root', 'global', ours, 'root'],
    ['ann*root', 'ann*global', ours, 'root'],
    ['global', undefined, ours, 'root'],
    ['global', undefined, everybody, 'root'],
    ['harbour.example', 'harbour.example'],
    ['Harbour.Example.', 'harbour.example'],
    ['harbor.example', 'harbour.example'],
    ['ann*harbor.example', 'ann*harbour.example'],
    ['ada@harbour.example', 'ada@harbour.example'],
    ['Ada+news@Harbor.Example', 'ada@harbour.example'],
    ['info@quay.example', 'ben@quay.example'],
    ['ann*ada@harbour.example', 'ann*ada@harbour.example'],
    ['ada@elsewhere.example', undefined],
    ['elsewhere.example', undefined],
    ['ada@elsewhere.example', 'ada@elsewhere.example', everybody],
    ['elsewhere.example', 'elsewhere.example', everybody],
    ['globa', undefined, everybody],
    ['', undefined],
    ['*', undefined],
    ['*global', undefined],
    ['ann*', undefined],
    ['ann**global', undefined],
    ['a b*global', undefined],
    ['@harbour.example', undefined],
    ['ada@', undefined],
    ['ada@harbour.example\r\n', 'ada@harbour.example'],
    ['ada\n@harbour.example', undefined],
    ['ada\0@harbour.example', undefined],
    ['ada\u202e@harbour.example', undefined],
    ['a@b@harbour.example', '"a@b"@harbour.example'],
    [`${'x'.repeat(400)}@harbour.example`, undefined],
  ];
  for (const [typed, name, book = ours, global = 'global'] of names)
    t.equal(parseAccountName(typed, book, global)?.name, name, `${JSON.stringify(typed)} is ${name ?? 'nobody'}`);
  t.same(parseAccountName('ann*harbor.example', ours, 'global'), {
    name: 'ann*harbour.example',
    scope: { level: 'domain', domain: 'harbour.example' },
    person: 'ann',
  });
});

t.test('a password is known by its hash alone, however its accents are composed', async (t) => {
  const hash = await hashPassword('caf\u00e9 au lait');
  t.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  t.ok(await verifyPassword(hash, 'cafe\u0301 au lait'));
  t.notOk(await verifyPassword(hash, 'cafe au lait'));
  t.notOk(await verifyPassword('no hash at all', 'x'), 'an unreadable hash matches nothing');
});

t.test('generated passwords can be read aloud and do not repeat', async (t) => {
  const some = new Set(Array.from({ length: 200 }, generatePassword));
  t.equal(some.size, 200);
  for (const password of some) if (!/^([a-hj-km-np-z2-9]{5}-){3}[a-hj-km-np-z2-9]{5}$/.test(password)) t.fail(password);
});

t.test('what is remembered is bounded: the longest unasked goes first', async (t) => {
  const lru = new Lru<number>(2);
  lru.set('a', 1);
  lru.set('b', 2);
  t.equal(lru.get('a'), 1);
  lru.set('c', 3);
  t.equal(lru.get('b'), undefined);
  t.equal(lru.get('a'), 1);
  t.equal(lru.size, 2);
});

t.test('turns and gates go on after a failure and refuse beyond their queue', async (t) => {
  const turns = new Turns(2);
  const order: string[] = [];
  const first = turns.run('k', async () => {
    order.push('first');
    throw new Error('no');
  });
  const second = turns.run('k', async () => order.push('second'));
  await t.rejects(
    turns.run('k', async () => 0),
    Overloaded,
  );
  await t.rejects(first, { message: 'no' });
  await second;
  t.same(order, ['first', 'second']);
  t.equal(turns.size, 0);

  const gate = new Gate(1, 1);
  let open = () => {};
  const held = gate.run(() => new Promise<void>((resolve) => (open = resolve)));
  const waiting = gate.run(async () => 'in');
  await t.rejects(
    gate.run(async () => 0),
    Overloaded,
  );
  open();
  await held;
  t.equal(await waiting, 'in');
});

/** A clock that only sleeping moves, a store of one table, and counts of what was asked of them. */
async function world(options: { delayMs?: number; maxDelayMs?: number } = {}) {
  const accounts = new Map<string, Account & { passwordHash: string }>();
  const add = async (name: string, scope: Scope, password: string) => {
    const at = new Date(0);
    accounts.set(name, {
      name,
      scope,
      createdAt: at,
      passwordChangedAt: at,
      passwordHash: await hashPassword(password),
    });
  };
  await add('global', { level: 'global' }, 'sesame-1');
  await add('ada@harbour.example', { level: 'recipient', address: 'ada@harbour.example' }, 'sesame-2');
  await add('ada@gone.example', { level: 'recipient', address: 'ada@gone.example' }, 'sesame-3');
  let clock = 1_000_000;
  const sleeps: number[] = [];
  const asked: string[] = [];
  const store = {
    accounts: {
      async get(name: string) {
        asked.push(name);
        return accounts.get(name);
      },
    } as Accounts,
  };
  const authenticator = new Authenticator({
    store,
    book: ours,
    globalName: 'global',
    loginFailures: { delayMs: options.delayMs ?? 1000, maxDelayMs: options.maxDelayMs ?? 15_000 },
    now: () => clock,
    sleep: async (ms) => {
      sleeps.push(ms);
      clock += ms;
    },
  });
  const slept = () => sleeps.splice(0);
  return { authenticator, accounts, add, slept, asked, later: (ms: number) => (clock += ms) };
}

t.test('the right password is the account, without its hash; the wrong one is nobody', async (t) => {
  const { authenticator, slept } = await world();
  t.strictSame(await authenticator.verify('Ada+x@harbor.example', 'sesame-2', '::1'), {
    name: 'ada@harbour.example',
    scope: { level: 'recipient', address: 'ada@harbour.example' },
    createdAt: new Date(0),
    passwordChangedAt: new Date(0),
  });
  t.same(slept(), []);
  for (const [user, password] of [
    ['ada@harbour.example', 'sesame-1'],
    ['global', ''],
    ['nobody@harbour.example', 'sesame-2'],
    ['ada@gone.example', 'sesame-3'], // there is such an account, but its domain is not ours any more
    ['', ''],
  ] as const) {
    t.equal(await authenticator.verify(user, password, '::2'), undefined, `${user} ${password}`);
    t.same(slept(), [1000], 'the same delay for each');
  }
});

t.test('delays double up to their end, for known and unknown users alike, and a success ends them', async (t) => {
  for (const user of ['global', 'nobody@harbour.example']) {
    const { authenticator, slept } = await world();
    for (const delay of [1000, 2000, 4000, 8000, 15_000, 15_000]) {
      await authenticator.verify(user, 'wrong', '10.0.0.1');
      t.same(slept(), [delay], `${user} ${delay}`);
    }
  }
  const { authenticator, slept } = await world();
  await authenticator.verify('global', 'wrong', '10.0.0.1');
  await authenticator.verify('global', 'wrong', '10.0.0.1');
  slept();
  t.ok(await authenticator.verify('global', 'sesame-1', '10.0.0.1'));
  t.same(slept(), []);
  await authenticator.verify('global', 'wrong', '10.0.0.1');
  t.same(slept(), [1000], 'it begins again');
});

t.test('closing early gains nothing: the next try waits before it is looked at', async (t) => {
  const { authenticator, slept } = await world();
  // Three at once; nobody waits for an answer.
  const tries = ['wrong-1', 'wrong-2', 'sesame-1'].map((password) =>
    authenticator.verify('global', password, '10.0.0.9'),
  );
  t.same(
    (await Promise.all(tries)).map((account) => account?.name),
    [undefined, undefined, 'global'],
  );
  // The first failure's 1000, the second's 2000, each slept by the loser and waited for by the next.
  const waits = slept();
  t.ok(waits.includes(1000) && waits.includes(2000), `${waits}`);
});

t.test('a guesser elsewhere does not keep a user out of where he has been', async (t) => {
  const { authenticator, accounts, add, slept } = await world();
  t.ok(await authenticator.verify('global', 'sesame-1', '10.0.0.1'));
  // The password changes, so that nothing is remembered of it.
  await add('global', { level: 'global' }, 'new-sesame');
  t.equal(accounts.size, 3);
  for (let i = 0; i < 6; i++) await authenticator.verify('global', 'guess', `192.0.2.${i}`);
  t.same(slept().at(-1), 15_000, 'guesses from ever new addresses are slowed down');
  t.ok(await authenticator.verify('global', 'new-sesame', '10.0.0.1'));
  t.same(slept(), []);
});

t.test('a password is hashed once and then remembered until it changes or minutes pass', async (t) => {
  const { authenticator, add, later } = await world();
  t.ok(await authenticator.verify('global', 'sesame-1', '::1'));
  const start = process.hrtime.bigint();
  for (let i = 0; i < 200; i++) await authenticator.verify('global', 'sesame-1', '::1');
  const each = Number(process.hrtime.bigint() - start) / 1e6 / 200;
  t.ok(each < 2, `${each.toFixed(3)} ms a login is no argon2`);
  t.equal(authenticator.held.successes, 1);
  await add('global', { level: 'global' }, 'changed-it');
  t.equal(await authenticator.verify('global', 'sesame-1', '::1'), undefined, 'the old one is nothing any more');
  t.ok(await authenticator.verify('global', 'changed-it', '::1'));
  later(6 * 60_000);
  t.ok(await authenticator.verify('global', 'changed-it', '::1'));
});

t.test('no delays where none are wanted', async (t) => {
  const { authenticator, slept } = await world({ delayMs: 0 });
  for (let i = 0; i < 4; i++) t.equal(await authenticator.verify('global', 'wrong', '::1'), undefined);
  t.same(slept(), []);
});

t.test('a flood for one user is refused, not kept', async (t) => {
  const { authenticator } = await world();
  const tries = await Promise.allSettled(
    Array.from({ length: 100 }, () => authenticator.verify('nobody@quay.example', 'x', '::1')),
  );
  const refused = tries.filter((result) => result.status === 'rejected');
  t.equal(refused.length, 36, 'those beyond the queue');
  for (const { reason } of refused) if (!(reason instanceof Overloaded && reason.temporary)) t.fail(String(reason));
  t.equal(authenticator.held.waiting, 0);
});
