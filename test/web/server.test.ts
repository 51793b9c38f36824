/** The HTTP listeners with readiness and metrics of the test's own: what hangs, what fails, what nobody should send. */
import { once } from 'node:events';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { NotReady, type Probe, Readiness } from '#app/observe/health';
import { silent } from '#app/observe/log';
import { Metrics, type StoreFacts } from '#app/observe/metrics';
import { WebServer } from '#app/web/server';
import { samples } from './scrape.ts';

async function serve(t: Test, probes: readonly Probe[] = [], text?: () => Promise<string>) {
  const logged: object[] = [];
  const log = { ...silent, error: (facts: object) => void logged.push(facts) };
  const readiness = new Readiness(probes, log);
  const metrics = {
    text: text ?? (async () => 'a 1\n'),
    contentType: 'text/plain; version=0.0.4; charset=utf-8' as const,
  };
  const server = new WebServer({ listen: [{ host: '127.0.0.1', port: 0 }], readiness, metrics, log });
  const [at] = await server.listen();
  t.teardown(() => server.close());
  return { url: `http://127.0.0.1:${at!.port}`, port: at!.port, logged, readiness };
}

t.test('what is not there is a short 404, and nothing tells who serves', async (t) => {
  const { url } = await serve(t);
  for (const path of ['/', '/metrics/', '/healthz/x', '/..%2f..%2fetc/passwd']) {
    const response = await fetch(url + path);
    t.equal(response.status, 404, path);
    t.equal(await response.text(), 'Not found\n');
    t.match(response.headers.get('content-type'), /^text\/plain/);
    t.equal(response.headers.get('server') ?? response.headers.get('x-powered-by'), null);
  }
  t.equal((await fetch(`${url}/healthz`, { method: 'POST', body: 'x' })).status, 404);
  const large = await fetch(`${url}/healthz`, { method: 'POST', body: 'x'.repeat(5000) });
  t.ok(large.status >= 400 && large.status < 500, `a large body: ${large.status}`);
  t.equal((await fetch(`${url}/%zz`)).status, 400);
  const health = await fetch(`${url}/healthz`);
  t.equal(health.status, 200);
  t.equal(health.headers.get('cache-control'), 'no-store');
});

t.test('what is no HTTP, or too large a header, is cut', async (t) => {
  const { port, url } = await serve(t);
  for (const bytes of ['nonsense\r\n\r\n', `GET /healthz HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`]) {
    const socket = connect(port, '127.0.0.1');
    let said = '';
    socket.on('data', (data) => {
      said += data.toString();
    });
    socket.on('error', () => {});
    socket.write(bytes);
    await once(socket, 'close');
    t.match(said, /^HTTP\/1\.1 400 Bad Request\r\n/);
  }
  t.equal((await fetch(`${url}/healthz`)).status, 200);
});

t.test('an error inside is told by a reference only', async (t) => {
  const { url, logged } = await serve(t, [], async () => {
    throw new Error('/var/secret/path');
  });
  const response = await fetch(`${url}/metrics`);
  t.equal(response.status, 500);
  const text = await response.text();
  const reference = /^Internal error, reference ([0-9a-f]{8})\n$/.exec(text)?.[1];
  t.ok(reference, text);
  t.match(logged, [{ reference, err: { message: '/var/secret/path' } }]);
});

t.test('two listeners, or none if one cannot be had', async (t) => {
  const { port } = await serve(t);
  const readiness = new Readiness([], silent);
  const metrics = { text: async () => '', contentType: 'text/plain; version=0.0.4; charset=utf-8' as const };
  const listen = [0, 0].map((port) => ({ host: '127.0.0.1', port }));
  const both = new WebServer({ listen, readiness, metrics, log: silent });
  const at = await both.listen();
  t.equal(new Set(at.map(({ port }) => port)).size, 2);
  for (const { port } of at) t.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
  await both.close();
  const taken = new WebServer({ listen: [...listen, { host: '127.0.0.1', port }], readiness, metrics, log: silent });
  await t.rejects(taken.listen(), { code: 'EADDRINUSE' });
});

t.test('a probe that hangs is waited for only so long, and asked only once', async (t) => {
  let asked = 0;
  let answer = () => {};
  const hangs: Probe = {
    name: 'bus',
    withinMs: 20,
    probe: () =>
      new Promise((resolve) => {
        asked++;
        answer = resolve;
      }),
  };
  const tells: Probe = {
    name: 'other',
    probe: async () => {
      throw new NotReady('It is being moved.');
    },
  };
  const { url, readiness } = await serve(t, [hangs, tells]);
  for (let i = 0; i < 3; i++) {
    const response = await fetch(`${url}/readyz`);
    t.equal(response.status, 503);
    t.strictSame(await response.json(), {
      status: 'not ready',
      problems: [
        { name: 'bus', why: 'It did not answer within 0.02 s.' },
        { name: 'other', why: 'It is being moved.' },
      ],
    });
  }
  t.equal(asked, 1);
  const waiting = readiness.check();
  answer();
  t.match(await waiting, { problems: [{ name: 'other' }] });
  readiness.stop();
  t.match(await (await fetch(`${url}/readyz`)).json(), { status: 'stopping' });
});

t.test('what the service goes on without is told, and is no reason to send nobody', async (t) => {
  const probe = async (): Promise<void> => {
    throw new NotReady('It is gone.');
  };
  const { url } = await serve(t, [{ name: 'bus', spare: true, probe }]);
  const response = await fetch(`${url}/readyz`);
  t.equal(response.status, 200);
  t.strictSame(await response.json(), { status: 'ready', problems: [{ name: 'bus', why: 'It is gone.' }] });
});

t.test('a store that hangs makes no scrape fail, and is asked only once', async (t) => {
  let asked = 0;
  let answer: (facts: StoreFacts) => void = () => {};
  const metrics = new Metrics({
    version: 'test',
    waitMs: 20,
    keepMs: 0,
    readStore: () =>
      new Promise((resolve) => {
        asked++;
        answer = resolve;
      }),
  });
  t.teardown(() => metrics.close());
  for (let i = 0; i < 3; i++) t.equal(samples(await metrics.text()).get('lazaret_store_up'), 0);
  t.equal(asked, 1);
  const last = metrics.text();
  const job = { step: 'deliver', due: 2, later: 1, leased: 0, oldestDueMs: 90_500 };
  answer({ jobs: [job], uidsUsed: 2 ** 31 });
  const now = samples(await last);
  t.equal(now.get('lazaret_store_up'), 1);
  t.equal(now.get('lazaret_jobs{step="deliver",state="due"}'), 2);
  t.equal(now.get('lazaret_jobs_oldest_due_seconds{step="deliver"}'), 90.5);
  t.ok(now.get('lazaret_uids_used_ratio')! > 0.5);
});
