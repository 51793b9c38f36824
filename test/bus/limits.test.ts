/** Wrong passwords and connections counted for all nodes together, and by each for itself while Redis is away. */
import t from 'tap';
import { redisOrSkip, TestRedis } from '../support/redis.ts';
import { killed } from './killed-node.ts';
import { type Node, startNode, until } from './world.ts';

const home = { user: 'ada@harbour.example', address: '10.0.0.1' };
const elsewhere = { user: 'ada@harbour.example', address: '192.0.2.7' };
const stranger = { user: 'ben@quay.example', address: '192.0.2.7' };

/** As many as are let in; each is one more of the same account. */
async function openMany(node: Node, count: number, max = 5, account = 'ada@harbour.example') {
  const closes: (() => void)[] = [];
  for (let n = 0; n < count; n += 1) {
    const opened = await node.connections.open(account, max);
    if ('close' in opened) closes.push(opened.close);
  }
  return closes;
}

/** How many there are of the account, as a node sees it; by asking for one that cannot be had. */
async function counted(node: Node, account = 'ada@harbour.example'): Promise<number> {
  const opened = await node.connections.open(account, 0);
  if ('full' in opened) return opened.full;
  throw new Error('let in beyond a limit of 0');
}

/** While Redis is there the other nodes' are asked for only by who may still be let in. */
const most = async (node: Node, max: number, account?: string) => {
  const opened = await node.connections.open(account ?? 'ada@harbour.example', max);
  if ('full' in opened) return `full at ${opened.full}`;
  opened.close();
  return 'let in';
};

if (redisOrSkip(t)) {
  t.test('a delay grown on one node is waited for on the other', async (t) => {
    const redis = await TestRedis.start(t);
    const [a, b] = [await startNode(t, redis.url), await startNode(t, redis.url)];
    t.same(await b.failures.standing(home), { known: false, waitMs: 0 });
    t.equal(await a.failures.failed(home), 1000);
    t.equal(await b.failures.failed(home), 2000, 'doubled, wherever the next one comes');
    t.equal(await a.failures.failed(home), 4000);
    for (const attempt of [home, elsewhere]) {
      const { known, waitMs } = await b.failures.standing(attempt);
      t.notOk(known);
      t.ok(waitMs > 2000 && waitMs <= 4000, `${waitMs} ms`);
    }
    t.same(await b.failures.standing(stranger), { known: false, waitMs: 0 });
    for (const delay of [8000, 15_000, 15_000]) t.equal(await b.failures.failed(home), delay);
    await b.failures.forgive(home);
    t.same(await a.failures.standing(home), { known: true, waitMs: 0 }, 'a success ends them everywhere');
    t.equal(await a.failures.failed(home), 1000);
  });

  t.test('a guesser elsewhere does not keep a user out of where he has been, on any node', async (t) => {
    const redis = await TestRedis.start(t);
    const [a, b] = [await startNode(t, redis.url), await startNode(t, redis.url)];
    await a.failures.forgive(home);
    for (let n = 0; n < 6; n += 1) await a.failures.failed({ ...elsewhere, address: `192.0.2.${n}` });
    t.same(await b.failures.standing(home), { known: true, waitMs: 0 });
    t.ok((await b.failures.standing(elsewhere)).waitMs > 10_000);
    await a.failures.failed(home);
    t.ok((await b.failures.standing(home)).waitMs > 500, 'but what went wrong there counts there');
  });

  t.test('connections of an account are counted together, and each closes once', async (t) => {
    const redis = await TestRedis.start(t);
    const [a, b] = [await startNode(t, redis.url), await startNode(t, redis.url)];
    const [atA, atB] = [await openMany(a, 3), await openMany(b, 4)];
    t.same([atA.length, atB.length], [3, 2]);
    t.equal(await most(a, 5), 'full at 5');
    t.equal(await most(b, 5), 'full at 5');
    t.equal(await most(b, 5, 'ben@quay.example'), 'let in');
    atA[0]!();
    atA[0]!();
    await until(async () => (await most(b, 5)) === 'let in');
    await until(async () => (await most(b, 4)) === 'full at 4');
    // Many at once on both: exactly as many as are free.
    const all = await Promise.all(
      Array.from({ length: 40 }, (_, n) => (n % 2 ? a : b).connections.open('ada@harbour.example', 10)),
    );
    t.equal(all.filter((opened) => 'close' in opened).length, 6);
    await until(async () => (await most(a, 10)) === 'full at 10');
  });

  t.test('the connections of a node that was killed count no more when its lease is over', async (t) => {
    const redis = await TestRedis.start(t);
    const [a, b] = [await startNode(t, redis.url), await startNode(t, redis.url)];
    await openMany(a, 5);
    t.equal(await most(b, 5), 'full at 5');
    await killed(redis.url, 'ben@quay.example', 4);
    t.equal(await most(b, 4, 'ben@quay.example'), 'full at 4');
    await until(async () => (await most(b, 4, 'ben@quay.example')) === 'let in');
    t.equal(await most(b, 5), 'full at 5', 'those of a living one go on to count');
    await a.bus.close();
    t.equal(await most(b, 5), 'let in', 'and one that stops gives them up at once');
  });

  t.test('flushed: the numbers of connections are there again after a moment', async (t) => {
    const redis = await TestRedis.start(t);
    const [a, b] = [await startNode(t, redis.url), await startNode(t, redis.url)];
    await openMany(a, 3);
    await openMany(b, 2);
    await redis.flush();
    await until(async () => (await most(b, 5)) === 'full at 5');
    await until(async () => (await most(a, 5)) === 'full at 5');
    t.same([...a.log.lines, ...b.log.lines], []);
  });

  t.test('killed: each counts for itself; started again: together again', async (t) => {
    const redis = await TestRedis.start(t);
    const [a, b] = [await startNode(t, redis.url), await startNode(t, redis.url)];
    const atA = await openMany(a, 3);
    await openMany(b, 2);
    await a.failures.failed(home);
    await redis.kill();
    await a.log.sees('limits are per node');
    await b.log.sees('limits are per node');
    t.equal(await counted(a), 3);
    t.equal((await openMany(b, 4)).length, 3, 'as many as this node alone may have');
    t.ok((await a.failures.standing(home)).waitMs > 0, 'what a node has seen itself it still knows');
    t.equal(await a.failures.failed(home), 2000);
    atA[0]!();
    await redis.start();
    await a.log.sees('Redis is back');
    await b.log.sees('Redis is back');
    t.equal(await most(a, 7), 'full at 7');
    t.equal(await most(b, 8), 'let in');
    t.equal(await a.failures.failed(home), 1000, 'a new Redis knows of no failures');
    t.equal(await b.failures.failed(home), 2000);
  });

  t.test('a Redis that answers nothing holds up no login', async (t) => {
    const redis = await TestRedis.start(t);
    const node = await startNode(t, redis.url, { timing: { beatMs: 60_000 } });
    await node.failures.failed(home);
    redis.hold();
    const begun = performance.now();
    t.ok((await node.failures.standing(home)).waitMs > 0, 'known here as well');
    t.ok('close' in (await node.connections.open('ada@harbour.example', 5)));
    await node.failures.failed(home);
    const took = performance.now() - begun;
    t.ok(took < 1500, `${Math.round(took)} ms for all together`);
    redis.letGo();
    await node.log.sees('Redis is back');
    t.equal(node.log.lines.length, 2, node.log.lines.join('\n'));
  });
}
