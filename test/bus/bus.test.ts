/** Rings between nodes: over Redis while it is there, by the store's own means while it is not. */
import t from 'tap';
import { freePort } from '../support/free-port.ts';
import { redisOrSkip, TestRedis } from '../support/redis.ts';
import { startNode, until } from './world.ts';

t.test('without Redis the store rings, for its own commits and those of others', async (t) => {
  const node = await startNode(t, undefined);
  t.ok(node.bell.looksForOthers);
  node.bell.commit();
  node.bell.othersCommit();
  await until(() => node.heard.count === 2);
  await t.resolves(node.bus.probe());
});

t.test('a Redis that is not there is a warning, and no reason not to start', async (t) => {
  const node = await startNode(t, `redis://somebody:sesame@127.0.0.1:${await freePort()}`);
  t.match(node.log.lines, [/^warn Redis cannot be reached; served without it, limits are per node: .*ECONNREFUSED/]);
  t.notMatch(node.log.lines.join(), /sesame/);
  t.ok(node.bell.looksForOthers);
  node.bell.othersCommit();
  await until(() => node.heard.count === 1);
  await t.rejects(node.bus.probe(), /^Redis at redis:\/\/127\.0\.0\.1:\d+ cannot be used: .*ECONNREFUSED/);
  t.equal(node.log.lines.length, 1, 'however often it was tried meanwhile');
});

if (redisOrSkip(t)) {
  t.test('a commit rings every other node, and the store need not look for it', async (t) => {
    const redis = await TestRedis.start(t);
    const [a, b, c] = await Promise.all([startNode(t, redis.url), startNode(t, redis.url), startNode(t, redis.url)]);
    await t.resolves(a.bus.probe());
    for (const { bell, log } of [a, b, c]) {
      t.notOk(bell.looksForOthers);
      t.same(log.lines, []);
    }
    const before = [a, b, c].map(({ heard }) => heard.count);
    a.bell.commit();
    await until(() => [a, b, c].every(({ heard }, at) => heard.count > before[at]!));
  });

  t.test('many commits have few messages, the last of them after the last commit', async (t) => {
    const redis = await TestRedis.start(t);
    const [a, b] = [await startNode(t, redis.url), await startNode(t, redis.url)];
    const messages = await redis.listen(t);
    for (let n = 0; n < 1000; n += 1) a.bell.commit();
    const before = b.heard.count;
    await until(() => b.heard.count > before);
    await a.bus.close();
    t.ok(messages.length <= 3, `${messages.length} messages`);
    t.notMatch(messages[0]?.message, /^\d+$/, 'they say who rang, and nothing of what there is to see');
  });

  t.test('two installations on one Redis do not hear each other', async (t) => {
    const redis = await TestRedis.start(t);
    const a = await startNode(t, redis.url, { uidValidity: 1 });
    const b = await startNode(t, redis.url, { uidValidity: 1 });
    const foreign = await startNode(t, redis.url, { uidValidity: 2 });
    const [before, foreignBefore] = [b.heard.count, foreign.heard.count];
    a.bell.commit();
    await until(() => b.heard.count > before);
    await foreign.bus.probe(); // what was sent to it before has come by now
    t.equal(foreign.heard.count, foreignBefore);
  });

  t.test('killed and started again: served without it, one warning, back by itself, nothing missed', async (t) => {
    const redis = await TestRedis.start(t);
    const [a, b] = [await startNode(t, redis.url), await startNode(t, redis.url)];
    for (const round of [1, 2]) {
      await redis.kill();
      for (const node of [a, b]) {
        await node.log.sees('Redis cannot be reached', round);
        t.ok(node.bell.looksForOthers);
      }
      const before = b.heard.count;
      a.bell.commit();
      b.bell.othersCommit();
      await until(() => b.heard.count > before);
      await t.rejects(b.bus.probe(), /cannot be used/);
      const missed = b.heard.count;
      await redis.start();
      for (const node of [a, b]) {
        await node.log.sees('info Redis is back', round);
        t.notOk(node.bell.looksForOthers);
      }
      await until(() => b.heard.count > missed); // whatever it did not hear of
      const back = b.heard.count;
      a.bell.commit();
      await until(() => b.heard.count > back);
    }
    for (const { log } of [a, b]) t.equal(log.lines.length, 4, log.lines.join('\n'));
  });

  t.test('flushed: rings as before', async (t) => {
    const redis = await TestRedis.start(t);
    const [a, b] = [await startNode(t, redis.url), await startNode(t, redis.url)];
    await redis.flush();
    const before = b.heard.count;
    a.bell.commit();
    await until(() => b.heard.count > before);
    t.same([...a.log.lines, ...b.log.lines], []);
  });

  t.test('a Redis that holds its connections and answers nothing is as good as gone', async (t) => {
    const redis = await TestRedis.start(t);
    const node = await startNode(t, redis.url, { timing: { answerMs: 300 } });
    redis.hold();
    await node.log.sees('it did not answer');
    t.ok(node.bell.looksForOthers);
    redis.letGo();
    await node.log.sees('Redis is back');
    t.notOk(node.bell.looksForOthers);
    t.equal(node.log.lines.length, 2, node.log.lines.join('\n'));
  });

  t.test('nor does one that takes a connection and says nothing keep a server from starting', async (t) => {
    const redis = await TestRedis.start(t);
    redis.hold();
    const node = await startNode(t, redis.url);
    t.match(node.log.lines, [/^warn Redis cannot be reached; .*: it did not answer in time/]);
    t.ok(node.bell.looksForOthers);
    redis.letGo();
    await node.log.sees('Redis is back');
    t.notOk(node.bell.looksForOthers);
  });

  t.test('a login that Redis refuses is said in a sentence, without the password', async (t) => {
    const redis = await TestRedis.start(t, ['--requirepass', 'open-sesame']);
    const { port } = redis;
    for (const login of ['', ':shut-sesame@', 'somebody:shut-sesame@']) {
      const node = await startNode(t, `redis://${login}127.0.0.1:${port}`);
      t.match(node.log.lines, [/^warn Redis refuses the login; look at user and password in the setting `bus`; /]);
      t.notMatch(node.log.lines.join(), /sesame/);
      await t.rejects(node.bus.probe(), /WRONGPASS|NOAUTH/);
    }
    const node = await startNode(t, `redis://:open-sesame@127.0.0.1:${port}`);
    t.same(node.log.lines, []);
  });

  t.test('a commit right before the end is still told', async (t) => {
    const redis = await TestRedis.start(t);
    const [verb, server] = [await startNode(t, redis.url), await startNode(t, redis.url)];
    const before = server.heard.count;
    verb.bell.commit();
    await verb.bus.close();
    await until(() => server.heard.count > before);
    t.pass('and was heard');
  });
}
