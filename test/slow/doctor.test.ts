import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Finding } from '#app/doctor/finding';
import { mail, run } from '../cli/world.ts';
import { startApp } from '../support/app.ts';
import { freePort } from '../support/free-port.ts';
import { spamdOrSkip, TestSpamd } from '../support/spamd.ts';

const to = 'ada@harbour.example';

/** A running server, and the file of settings that the doctor has. `file` is what it says otherwise. */
async function hospital(t: Test, more: Record<string, unknown> = {}, file: Record<string, unknown> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'lazaret-doctor-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const settings = {
    imap: { listen: [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}/tls`] },
    intake: {
      lmtp: [`127.0.0.1:${await freePort()}`],
      smtp: [`127.0.0.1:${await freePort()}`],
      http: [`127.0.0.1:${await freePort()}`],
      tokens: [{ name: 'rspamd', token: 'a token of the tests'.replaceAll(' ', '-') }],
    },
    training: { trainers: [{ type: 'maildir', spam: join(folder, 'spam'), ham: join(folder, 'ham') }] },
    ...more,
  };
  const app = await startApp(t, settings);
  const config = join(folder, 'lazaret.yaml');
  writeFileSync(
    config,
    JSON.stringify({
      hostname: 'quarantine.example',
      store: app.storeUrl,
      domains: { 'harbour.example': { aliases: ['harbor.example'] }, 'quay.example': {} },
      delivery: { nextHop: `smtp://127.0.0.1:${app.sink.port}?tls=none` },
      release: { undoSeconds: 0 },
      ...settings,
      ...file,
    }),
  );
  const accounts = (await app.app.store.accounts.list()).length;
  return {
    ...app,
    async doctor(...options: string[]) {
      const { code, out, err } = await run('doctor', '--config', config, '--json', ...options);
      t.equal((await app.app.store.accounts.list()).length, accounts, 'its own account is gone');
      const { well, findings }: { well: boolean; findings: Finding[] } =
        out === '' ? { well: false, findings: [] } : JSON.parse(out);
      return {
        code,
        err,
        well,
        findings,
        bad: findings.filter(({ state }) => state === 'fault' || state === 'warning'),
        of: (check: string) => findings.filter((finding) => finding.check === check),
      };
    },
    text: (...options: string[]) => run('doctor', '--config', config, ...options),
  };
}

t.test('where all is well a message goes the whole way from each listener, and nothing is left of it', async (t) => {
  const { doctor, sink, app } = await hospital(t);
  const { code, well, findings, bad, of } = await doctor('--to', to, '--train');
  t.same(bad, []);
  t.match({ code, well }, { code: 0, well: true });
  t.equal(of('listener').length, 3);
  t.match(of('listener')[1], { said: /certificate is good until/ });
  for (const step of ['hand-over', 'seen over IMAP', 'release', 'delivery', 'train', 'forget'])
    t.equal(of(`probe: ${step}`).length, 3, step);
  t.match(of('probe: delivery')[0], { said: /the next hop said 250/ });
  t.match(
    sink.messages.map(({ recipients }) => recipients),
    [[to], [to], [to]],
  );
  t.notMatch(JSON.stringify(findings), /a-token/);
  const entries = await app.store.entries.list({ scope: { level: 'global' }, limit: 10 });
  t.same(
    entries.map(({ state, folder }) => [state, folder]),
    [
      ['released', undefined],
      ['released', undefined],
      ['released', undefined],
    ],
  );
});

t.test('without an address nothing is sent; the rest is looked at', async (t) => {
  const { doctor, sink, text } = await hospital(t);
  const { code, of } = await doctor();
  t.equal(code, 0);
  t.match(of('probe'), [{ state: 'skipped', todo: /--to/ }]);
  t.equal(sink.messages.length, 0);
  t.match(await text('--to', 'friend@elsewhere.example'), { code: 1, err: /no address of ours/ });
  t.match(await text(), { code: 0, out: /^ok {7}store: .*\n.*All is well\.\n$/s });
});

t.test(
  'a next hop that is down is told twice, by name and by what became of the message, which is taken back',
  async (t) => {
    const port = await freePort();
    const { doctor, app, addresses } = await hospital(
      t,
      { delivery: { nextHop: `smtp://127.0.0.1:${port}?tls=none` } },
      { delivery: { nextHop: `smtp://127.0.0.1:${port}?tls=none` } },
    );
    const { LmtpClient } = await import('../support/lmtp.ts');
    const client = await LmtpClient.connect(addresses.lmtp[0]!.port);
    await client.send('shop@elsewhere.example', [to], mail('not to be touched').replaceAll('\n', '\r\n'));
    client.close();
    const { code, of } = await doctor('--to', to);
    t.equal(code, 1);
    t.match(of('next hop'), [
      { state: 'fault', what: `smtp://127.0.0.1:${port}`, said: 'nobody listens there', todo: /mail server/ },
    ]);
    t.match(of('probe: delivery'), [
      { state: 'fault', said: /it is put off: / },
      { state: 'fault', said: /it is put off: / },
      { state: 'fault', said: /it is put off: / },
    ]);
    t.same(of('probe: clean up'), []);
    const entries = await app.store.entries.list({ scope: { level: 'global' }, limit: 10 });
    t.same(
      entries.map(({ state, message }) => [state, /probe/.test(message.subject)]),
      [
        ['discarded', true],
        ['discarded', true],
        ['discarded', true],
        ['held', false],
      ],
      'and nobody else',
    );
  },
);

t.test('a listener that is not there, one that does not let us in, a learner that is down', async (t) => {
  const [away, learner] = [await freePort(), await freePort()];
  const { doctor } = await hospital(
    t,
    { training: { trainers: [] } },
    {
      imap: { listen: [`127.0.0.1:${away}`] },
      training: {
        trainers: [
          { type: 'spamd', address: `127.0.0.1:${learner}` },
          { type: 'rspamd', url: `http://127.0.0.1:${learner}` },
          { type: 'sa-learn', command: ['no-such-program'] },
        ],
      },
      intake: { lmtp: [], smtp: [], watch: [{ folder: '/no/such/folder', filter: 'amavis' }] },
    },
  );
  const { code, of } = await doctor('--to', to);
  t.equal(code, 1);
  t.match(of('listener'), [{ state: 'fault', what: `imap 127.0.0.1:${away}`, said: 'nobody listens there' }]);
  t.match(of('trainer'), [
    { state: 'fault', what: 'spamd', said: 'nobody listens there' },
    { state: 'fault', what: 'rspamd', said: 'nobody listens there' },
    { state: 'fault', what: 'sa-learn', said: 'there is no program no-such-program' },
  ]);
  t.match(of('folder'), [{ state: 'fault', said: 'there is no such file or folder' }]);
});

t.test('who may not hand over is told what to set; so is who has another store', async (t) => {
  const lmtp = `127.0.0.1:${await freePort()}`;
  const { doctor } = await hospital(t, { intake: { lmtp: [lmtp], smtp: [], trusted: ['10.0.0.1'] } });
  const { of } = await doctor('--to', to);
  t.match(of('probe: hand-over'), [{ state: 'fault', said: /554 5\.7\.1/, todo: /intake\.trusted/ }]);

  const elsewhere = await hospital(t, {}, { store: `sqlite:${join(tmpdir(), `lazaret-none-${process.pid}.db`)}` });
  t.teardown(() => rmSync(join(tmpdir(), `lazaret-none-${process.pid}.db`), { force: true }));
  const found = await elsewhere.doctor('--to', to);
  t.match(found.of('server'), [{ state: 'fault', said: /no server delivers/ }]);
  t.match(found.of('probe'), [{ state: 'skipped', said: /no server runs/ }]);
});

t.test('a password that Rspamd refuses, a certificate that runs out', async (t) => {
  const http = await import('node:http');
  const controller = http.createServer((request, response) => {
    response.writeHead(request.headers.password === 'right' ? 200 : 401).end('{}');
  });
  await new Promise<void>((resolve) => controller.listen(0, '127.0.0.1', resolve));
  t.teardown(() => controller.close());
  const { port } = controller.address() as { port: number };
  const rspamd = (name: string, password: string) => ({
    type: 'rspamd',
    name,
    url: `http://127.0.0.1:${port}`,
    password,
  });
  const { doctor } = await hospital(
    t,
    {},
    { training: { trainers: [rspamd('one', 'right'), rspamd('other', 'wrong password')] } },
  );
  const { of, code } = await doctor();
  t.equal(code, 1);
  t.match(of('trainer'), [
    { state: 'ok', what: 'one' },
    { state: 'fault', what: 'other', said: /refuses our password/, todo: /enable_password/ },
  ]);
  t.notMatch(JSON.stringify(of('trainer')), /wrong password/);
  const { checkImap } = await import('#app/doctor/checks');
  const { configFrom } = await import('#app/config/load');
  const { addresses } = await startApp(t);
  const at = addresses.imap.map(({ host, port, tls }) => `${host}:${port}${tls ? '/tls' : ''}`);
  for (const [days, expected] of [
    [0, 'ok'],
    [3640, 'warning'],
    [4000, 'fault'],
  ] as const) {
    const findings: Finding[] = [];
    await checkImap(
      configFrom({ imap: { listen: at } }),
      (finding) => findings.push(finding),
      Date.now() + days * 86_400_000,
    );
    t.same(
      findings.map(({ state }) => state),
      [expected, expected],
      `in ${days} days: ${JSON.stringify(findings)}`,
    );
  }
});

t.test('a real spamd learns the message, and forgets it', async (t) => {
  if (!spamdOrSkip(t)) return;
  const spamd = await TestSpamd.start(t);
  const { doctor } = await hospital(t, {
    intake: { lmtp: [`127.0.0.1:${await freePort()}`], smtp: [] },
    training: { trainers: [{ type: 'spamd', address: spamd.address }] },
  });
  const { of, bad } = await doctor('--to', to, '--train');
  t.same(bad, []);
  t.match(of('trainer'), [{ state: 'ok', said: /^answers/ }]);
  t.match(of('probe: train'), [{ state: 'ok' }]);
  t.match(of('probe: forget'), [{ state: 'ok', said: 'forgotten' }]);
});

t.test('a clock that is off is told', async (t) => {
  const { doctor, advance } = await hospital(t, { intake: { lmtp: [`127.0.0.1:${await freePort()}`], smtp: [] } });
  advance(300_000);
  const { of, code } = await doctor('--to', to);
  t.match(of('clock'), [{ state: 'warning', said: /the store's clock is (299|300) s ahead/, todo: /chrony/ }]);
  t.equal(code, 0, 'a warning is no fault');
});
