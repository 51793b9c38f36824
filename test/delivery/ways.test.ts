/** Where a release goes and whom it is from; what it is called there; what amavis is asked. */
import { once } from 'node:events';
import net from 'node:net';
import t, { type Test } from 'tap';
import { byAmavis } from '#app/delivery/by-amavis';
import { createRouter } from '#app/delivery/route';
import { createSenderOf, parseSenderMode, type SenderRules } from '#app/delivery/sender';
import { withRenamedSpamFields } from '#app/delivery/spam-fields';
import { rewriteSender } from '#app/delivery/srs';
import type { Parcel } from '#app/delivery/transport';
import { parseAmavisSocket, parseWay } from '#app/delivery/way';
import { AddressBook } from '#app/policy/addresses';
import type { KeptByAmavis } from '#store/model';

const nobody = {
  deliver: async () => {
    throw new Error('nothing is sent here');
  },
};

t.test('the way of a release', async (t) => {
  const domains: Record<string, { aliases?: string[]; nextHop?: string }> = {
    'harbour.example': { aliases: ['harbor.example'], nextHop: 'smtp://10.0.0.5:10026' },
    'quay.example': {},
    'pier.example': { nextHop: 'imaps://{user}*lazaret:secret@mail.pier.example' },
  };
  const delivery = { nextHop: 'lmtp://[::1]:24', amavis: 'amavis://127.0.0.1:9998' };
  const wayOf = createRouter({ domains, delivery }, new AddressBook({ domains }), nobody);
  const way = (recipient: string, direction: 'incoming' | 'outgoing' = 'incoming', amavis?: KeptByAmavis) =>
    wayOf({ recipient, direction }, { params: { ...(amavis && { amavis }) } })?.name;
  t.equal(way('ada@harbour.example'), 'smtp://10.0.0.5:10026');
  t.equal(way('"a@quay.example"@HARBOR.example'), 'smtp://10.0.0.5:10026', 'an alias domain, as received');
  t.equal(way('ben+tag@quay.example'), 'lmtp://[::1]:24');
  t.equal(way('x@elsewhere.example'), 'lmtp://[::1]:24');
  t.equal(way('ada@harbour.example', 'outgoing'), 'lmtp://[::1]:24');
  t.equal(way('eve@pier.example'), 'imaps://mail.pier.example:993', 'no login in the name');
  t.equal(way('eve@pier.example', 'outgoing'), 'lmtp://[::1]:24', 'what they send is not put into their mailboxes');
  const kept = { mailId: 'm', quarType: 'F' } as const;
  t.equal(way('ada@harbour.example', 'incoming', kept), 'amavis://127.0.0.1:9998', 'what amavis keeps, it releases');
  const none = createRouter({ delivery: {} }, new AddressBook({}), nobody);
  const entry = { recipient: 'a@b.example', direction: 'incoming' } as const;
  t.equal(none(entry, { params: {} }), undefined);
  t.equal(none(entry, { params: { amavis: kept } }), undefined);
  t.throws(() => createRouter({ delivery: { nextHop: 'nowhere' } }, new AddressBook({}), nobody), {
    name: 'NextHopError',
  });
  t.throws(
    () => createRouter({ delivery: { nextHop: 'imaps://a:b@c' } }, new AddressBook({}), nobody),
    { name: 'NextHopError' },
    'mailboxes are those of a domain, not of everybody',
  );
});

t.test('mailbox servers and sockets of amavis are read, or refused with a sentence', async (t) => {
  t.match(parseWay('imaps://{user}*lazaret:p%40ss@mail.example.com/In%20Box'), {
    protocol: 'imap',
    host: 'mail.example.com',
    port: 993,
    implicitTls: true,
    tls: 'verify',
    user: '{user}*lazaret',
    password: 'p@ss',
    folder: 'In Box',
  });
  t.match(parseWay('imap://%7Blocal%7D:x@[::1]:1143?tls=none'), {
    host: '::1',
    port: 1143,
    tls: 'none',
    user: '{local}',
    folder: 'INBOX',
    name: 'imap://[::1]:1143',
  });
  t.match(parseWay('imap://a:b@h'), { port: 143, tls: 'require' }, 'a password does not leave in clear text unasked');
  t.match(parseWay('lmtp://10.0.0.5'), { protocol: 'lmtp', port: 24 });
  t.match(parseAmavisSocket('amavis://127.0.0.1:9998'), {
    at: { host: '127.0.0.1', port: 9998 },
    request: 'release',
    name: 'amavis://127.0.0.1:9998',
  });
  t.match(parseAmavisSocket('amavis:///var/lib/amavis/amavisd.sock?request=requeue'), {
    at: { path: '/var/lib/amavis/amavisd.sock' },
    request: 'requeue',
  });
  const wrong: [(text: string) => unknown, string, RegExp][] = [
    [parseWay, 'imaps://mail.example.com', /needs a user and a password/],
    [parseWay, 'imaps://{name}:x@mail.example.com', /\{name\} in a user name is none of/],
    [parseWay, 'imaps://{user:x@mail.example.com', /\{user in a user name/],
    [parseWay, 'imaps://a:secret@h?tls=may', /is always TLS/],
    [parseWay, 'imap://a:secret@h/a%0Db', /control characters/],
    [parseWay, 'imap://a:secret@h?folder=x', /"\?folder="/],
    [parseWay, 'imaps:', /written imaps:|needs a host/],
    [parseAmavisSocket, 'smtp://127.0.0.1:9998', /written amavis:/],
    [parseAmavisSocket, 'amavis://127.0.0.1', /needs a port/],
    [parseAmavisSocket, 'amavis://', /needs a host and a port, or a path/],
    [parseAmavisSocket, 'amavis://var/lib/amavisd.sock', /three slashes/],
    [parseAmavisSocket, 'amavis://127.0.0.1:9998?request=delete', /none of release, requeue/],
    [parseAmavisSocket, 'amavis://127.0.0.1:9998?tls=none', /"\?tls="/],
    [parseAmavisSocket, 'amavis://a:secret@127.0.0.1:9998', /no login/],
  ];
  for (const [read, text, message] of wrong) {
    t.throws(() => read(text), { name: 'NextHopError', message }, text);
    try {
      read(text);
    } catch (error) {
      t.notMatch(String(error), /secret/, 'without the password');
    }
  }
});

t.test('whom a release is from', async (t) => {
  const domains: Record<string, { aliases?: string[]; sender?: string }> = {
    'harbour.example': {},
    'quay.example': { sender: 'empty' },
  };
  const book = new AddressBook({ domains });
  const from = (
    release: SenderRules['release'],
    sender: string,
    recipient = 'ada@harbour.example',
    direction: 'incoming' | 'outgoing' = 'incoming',
  ) => createSenderOf({ hostname: 'q.example', release, domains }, book)({ recipient, direction }, { sender });
  const srs = { sender: 'srs', srsSecret: 'a long secret' };
  t.equal(from({ sender: 'original' }, 'eve@spam.example'), 'eve@spam.example');
  t.equal(from({ sender: 'empty' }, 'eve@spam.example'), '');
  t.equal(from({ sender: 'fixed:release@q.example' }, 'eve@spam.example'), 'release@q.example');
  t.match(from(srs, 'eve@spam.example'), /^SRS0=.{4}=[A-Z2-7]{2}=spam\.example=eve@q\.example$/);
  t.match(from({ ...srs, srsDomain: 'srs.example' }, 'eve@spam.example'), /@srs\.example$/);
  t.equal(from(srs, 'ben@quay.example'), 'ben@quay.example', 'our own domains let us send for them');
  t.equal(from(srs, 'eve@spam.example', 'ben@quay.example'), '', 'a domain of its own mind');
  for (const sender of ['original', 'empty', 'srs', 'fixed:release@q.example']) {
    t.equal(from({ ...srs, sender }, ''), '', 'the null sender stays');
    t.equal(from({ ...srs, sender }, 'ada@harbour.example', 'x@far.example', 'outgoing'), 'ada@harbour.example');
  }
  t.same(parseSenderMode('fixed:a+b@q.example'), { kind: 'fixed', address: 'a+b@q.example' });
  for (const text of ['', 'null', 'fixed:', 'fixed:nobody', 'fixed:a b@q.example', 'fixed:<a@q.example>', 'SRS'])
    t.equal(parseSenderMode(text), undefined, text);
});

t.test('SRS: what postsrsd 1.10 makes of the same addresses on the same day, and reads back', async (t) => {
  // postsrsd -s FILE -d ours.example; `get ADDRESS` at its two ports.
  const options = { secret: 'tops3cr3t-of-ours', domain: 'ours.example' };
  const now = Date.UTC(2026, 10, 28, 12);
  const table = [
    ['ada@a.example', 'SRS0=SGB/=JR=a.example=ada@ours.example'],
    ['Ada.B@A.Example', 'SRS0=rVk9=JR=A.Example=Ada.B@ours.example'],
    ['x=y+z@a.example', 'SRS0=FXAf=JR=a.example=x=y+z@ours.example'],
    [
      'SRS0=XjO9=2V=otherdomain.com=test@otherhost.example',
      'SRS1=TIzf=otherhost.example==XjO9=2V=otherdomain.com=test@ours.example',
    ],
    [
      'srs0+XjO9=2V=otherdomain.com=test@otherhost.example',
      'SRS1=Cur9=otherhost.example=+XjO9=2V=otherdomain.com=test@ours.example',
    ],
    ['SRS1=JIBX=otherdomain.com==rTeV=WN=a.b=x@fwd.example', 'SRS1=sTbj=otherdomain.com==rTeV=WN=a.b=x@ours.example'],
  ];
  for (const [sender, rewritten] of table) t.equal(rewriteSender(sender!, options, now), rewritten);
  t.equal(
    rewriteSender('"odd name"@a.example', options, now),
    '"SRS0=6CcD=JR=a.example=odd name"@ours.example',
    'stays one quoted local part',
  );
});

t.test('spam fields get other names, what is signed keeps its own', async (t) => {
  const rename = (text: string, signed: string[] = []) =>
    withRenamedSpamFields(Buffer.from(text, 'latin1'), new Set(signed)).toString('latin1');
  t.equal(
    rename(
      'Received: x\r\nX-Spam-Flag: YES\r\nx-spam : Yes\r\nX-Spamd-Result: default: True [9.00 / 5.00];\r\n\tX-Spam-Flag: a(1.0)\r\nSubject: X-Spam\r\nDeliver-To: Junk\r\nX-Spammy-Not: 1\r\nDelivered-To: ada@harbour.example\r\n\r\n',
    ),
    'Received: x\r\nX-Pre-Release-X-Spam-Flag: YES\r\nX-Pre-Release-x-spam : Yes\r\nX-Pre-Release-X-Spamd-Result: default: True [9.00 / 5.00];\r\n\tX-Spam-Flag: a(1.0)\r\nSubject: X-Spam\r\nX-Pre-Release-Deliver-To: Junk\r\nX-Spammy-Not: 1\r\nX-Pre-Release-Delivered-To: ada@harbour.example\r\n\r\n',
  );
  t.equal(
    rename('X-Spam-Level: **\nX-Rspamd-Action: reject\n\n', ['x-spam-level', 'from']),
    'X-Spam-Level: **\nX-Pre-Release-X-Rspamd-Action: reject\n\n',
  );
  for (const text of ['', '\r\n', 'X-Spam-Flag', 'Subject: \xff\xfe\r\n X-Spam: 1\r\n\r\n'])
    t.equal(rename(text), text);
  const long = `Subject: x\r\n${'X-Spam-A: b\r\n'.repeat(80_000)}\r\n`;
  const before = performance.now();
  t.equal(rename(long).length, long.length + 80_000 * 'X-Pre-Release-'.length);
  t.ok(performance.now() - before < 2000);
});

/** An AM.PDP server that answers each request with the next of these, octet for octet; `undefined`: closes. */
async function standIn(t: Test, ...answers: (string | undefined)[]): Promise<{ port: number; asked: string[] }> {
  const asked: string[] = [];
  const server = net.createServer((socket) => {
    let input = '';
    socket.on('error', () => {});
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      input += chunk;
      if (!input.endsWith('\r\n\r\n')) return;
      asked.push(input);
      input = '';
      const answer = answers.shift();
      if (answer === undefined) socket.end();
      else socket.write(answer, 'latin1');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return { port: (server.address() as net.AddressInfo).port, asked };
}

const parcel = (params: { amavis?: KeptByAmavis }, more: Partial<Parcel['envelope']> = {}): Parcel =>
  ({
    entry: { recipient: 'jürgen%x@harbour.example' },
    message: { sender: 'eve@spam.example', params },
    envelope: { sender: 'eve@spam.example', recipients: [], ...more },
    actor: { account: 'ada@harbour.example', via: 'imap' },
    attempt: 1,
  }) as unknown as Parcel;

t.test('amavis is asked in its own words, and its answer is understood', async (t) => {
  const kept = { mailId: 'NYCX-cn1C3aM', secretId: '671r5Er7JqHs', quarType: 'F', mailFile: 'spam-NYCX.eml' } as const;
  const { signal } = new AbortController();
  const table: [string | undefined, string, RegExp][] = [
    [
      'setreply=250 2.0.0 from%20MTA(smtp:[127.0.0.1]:25):%20250%202.0.0%20Ok\r\n\r\n',
      'accepted',
      /^250 2\.0\.0 from MTA\(smtp:\[127\.0\.0\.1\]:25\): 250 2\.0\.0 Ok$/,
    ],
    ['setreply=550 5.1.1 No%20such%20user\r\n\r\n', 'refused', /^550 5\.1\.1 No such user$/],
    ['setreply=451 4.3.0 Try%20later%0d%0aeve\r\n\r\n', 'later', /^451 4\.3\.0 Try later eve$/],
    [
      'setreply=450 4.5.0 Failure:%20Secret_id%20is%20required,%20but%20missing\r\nreturn_value=tempfail\r\nexit_code=75\r\n\r\n',
      'refused',
      /Secret_id/,
    ],
    ['setreply=450 4.5.0 Failure:%20File%20spam-x.eml%20does%20not%20exist%20at\r\n\r\n', 'refused', /does not exist/],
    ['exit_code=0\r\n\r\n', 'later', /without a reply/],
    [undefined, 'later', /closed the connection/],
    [`x=${'y'.repeat(70_000)}`, 'later', /not AM\.PDP/],
    ['setreply=250', 'later', /did not answer in time/],
  ];
  const { port, asked } = await standIn(t, ...table.map(([answer]) => answer));
  const amavis = byAmavis(parseAmavisSocket(`amavis://127.0.0.1:${port}`), { silenceMs: 300 });
  for (const [answer, kind, said] of table)
    t.match(await amavis.send(parcel({ amavis: kept }), signal), { kind, said }, JSON.stringify(answer?.slice(0, 60)));
  t.equal(
    asked[0],
    'request=release\r\nmail_id=NYCX-cn1C3aM\r\nsecret_id=671r5Er7JqHs\r\nquar_type=F\r\nmail_file=spam-NYCX.eml\r\n' +
      'requested_by=<ada@harbour.example>\r\nrecipient=<j%c3%bcrgen%25x@harbour.example>\r\n\r\n',
  );

  const again = await standIn(t, 'setreply=250 2.0.0 Ok\r\n\r\n');
  const requeue = byAmavis(parseAmavisSocket(`amavis://127.0.0.1:${again.port}?request=requeue`));
  const sql = { mailId: 'a', quarType: 'Q', partitionTag: '7' } as const;
  t.match(await requeue.send(parcel({ amavis: sql }, { sender: '' }), signal), {
    kind: 'accepted',
    said: '250 2.0.0 Ok',
  });
  t.match(
    again.asked[0],
    /^request=requeue\r\nmail_id=a\r\npartition_tag=7\r\nquar_type=Q\r\nrequested_by=.*\r\nsender=<>\r\nrecipient=/,
  );
  t.match(await requeue.send(parcel({}), signal), { kind: 'refused' });
  const gone = byAmavis(parseAmavisSocket('amavis:///nowhere/amavisd.sock'));
  t.match(await gone.send(parcel({ amavis: kept }), signal), { kind: 'later', said: /cannot be reached \(ENOENT\)/ });
  await t.rejects(gone.send(parcel({ amavis: kept }), AbortSignal.abort(new Error('stop'))), { message: 'stop' });
});
