/** The parts of a release that need no store: what stands above it, its signature, its way. */
import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import { renderTrace, rfcDate, signedFields } from '#app/delivery/trace';
import { markOf, signRelease, verifyRelease } from '#app/quarantine/release-token';

async function* header(text: string, size = 7): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < text.length; at += size) yield Buffer.from(text.slice(at, at + size), 'latin1');
}

const droppedAt = new Date('2026-11-04T08:05:09.700Z');
const trace = (signed: ReadonlySet<string> | undefined) =>
  renderTrace({
    hostname: 'q.example',
    job: { resentMessageId: '<d1.17@q.example>', droppedAt },
    entryId: 17,
    release: 'v1; id=17; sig=x',
    signed,
  });

const received = 'Received: by q.example (Lazaret) id 17;\r\n Wed, 04 Nov 2026 08:05:09 +0000\r\n';
const release = 'X-Lazaret-Release: v1;\r\n id=17;\r\n sig=x\r\n';
const resent =
  'Resent-From: Lazaret <postmaster@q.example>\r\n' +
  'Resent-Date: Wed, 04 Nov 2026 08:05:09 +0000\r\n' +
  'Resent-Message-ID: <d1.17@q.example>\r\n';

t.test('the trace block leaves out what a signature names, and is whole otherwise', async (t) => {
  const sealed = 'DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=x;';
  const table: [string, string, string][] = [
    ['no signature', 'From: a@b\r\nResent-From: c@d\r\nSubject: h=resent-from\r\n\r\n', received + release + resent],
    ['an empty header', '\r\n', received + release + resent],
    ['one that names none', `${sealed} h=From:To:Subject; bh=x; b=y\r\n\r\n`, received + release + resent],
    ['Resent-From', `${sealed} h=From:Resent-From; b=y\r\n\r\n`, received + release],
    [
      'any case, blanks, folded',
      `dkim-signature : v=1;\r\n\th=from : to :\r\n\t RESENT-message-id\r\n\t; b=y\r\n\r\n`,
      received + release,
    ],
    ['at the end of the field', `${sealed}\r\n h=From:\r\n resent-date\r\nTo: x\r\n\r\n`, received + release],
    ['a second signature', `${sealed} h=From; b=y\r\n${sealed} h=Resent-To; b=y\r\n\r\n`, received + release],
    ['bare LF', `${sealed}\n h=From:Resent-Sender; b=y\nTo: x\n\n`, received + release],
    ['ARC', 'ARC-Message-Signature: i=1; h=from:resent-from; b=y\r\n\r\n', received + release],
    ['Received', `${sealed} h=From:Received; b=y\r\n\r\n`, release + resent],
    ['both', `${sealed} h=received:resent-from; b=y\r\n\r\n`, release],
    ['not in h=', `${sealed} z=resent-from; h=From; t=received\r\n\r\n`, received + release + resent],
    [
      'in another field',
      'X-DKIM-Signature: h=resent-from\r\nTo: dkim-signature: h=resent-from\r\n\r\n',
      received + release + resent,
    ],
    ['too long to be searched', `${'X-A: b\r\n'.repeat(1 << 17)}${sealed} h=From; b=y\r\n\r\n`, release],
  ];
  for (const [name, text, expected] of table) {
    const size = text.length > 1000 ? 1 << 16 : 7;
    t.equal(trace(await signedFields(header(text, size))), expected, name);
  }
  t.equal(rfcDate(new Date(0)), 'Thu, 01 Jan 1970 00:00:00 +0000');
  const before = performance.now();
  await signedFields(header(`DKIM-Signature: ${' h=a;\r\n'.repeat(100_000)}${'h=:;'.repeat(50_000)}`, 1 << 16));
  t.ok(performance.now() - before < 2000, 'a hostile one costs no more than its length');
});

t.test('the release header: what was signed is read again, all else is nothing', async (t) => {
  const key = randomBytes(32);
  const bodySha256 = createHash('sha256').update('body').digest('hex');
  const drop = markOf('<d1.17@q.example>');
  for (const recipient of ['ada@harbour.example', '"a;b= c"@harbour.example', 'jürgen@höfe.example', '']) {
    const token = { entryId: 4_294_967_295, drop, attempt: 12, until: 1_764_345_600, recipient, bodySha256 };
    const value = signRelease(key, token);
    t.match(value, /^[!-~]+(?: [!-~]+)*$/, 'harmless in a header');
    t.same(verifyRelease(key, value), token);
    t.same(verifyRelease(key, ` ${value.replaceAll('; ', ';\r\n\t')}\r\n`), token, 'folded on the way');
    t.same(verifyRelease(key, value.replaceAll(' ', '')), token, 'unfolded too far');
    t.equal(verifyRelease(randomBytes(32), value), undefined, "another installation's");
    for (let at = 0; at < value.length; at++) {
      const other = value[at] === 'A' ? 'B' : 'A';
      const forged = value.slice(0, at) + other + value.slice(at + 1);
      if (value[at] === ' ') continue;
      const read = verifyRelease(key, forged);
      // The last base64 digit of 32 octets has two bits that say nothing.
      if (read !== undefined) t.ok(at === value.length - 1, `changed at ${at}`);
    }
  }
  const value = signRelease(key, { entryId: 1, drop, attempt: 1, until: 1, recipient: 'a@b', bodySha256 });
  const twisted = [
    '',
    'v1',
    `${value}; ${value}`,
    value.slice(0, -1),
    `${value}=`,
    value.replace('id=1', 'id=01'),
    `x${value}`,
    `${value}\0`,
    'v1; id=1; drop=; try=; until=; rcpt=; body=; sig=',
    'A'.repeat(100_000),
  ];
  for (const text of twisted) t.equal(verifyRelease(key, text), undefined, JSON.stringify(text.slice(0, 40)));
});
