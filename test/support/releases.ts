/** What the tests of releases back through a filter share: a server whose next hop has a filter, and what a forger tries. */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type ReleaseToken, signRelease, verifyRelease } from '#app/quarantine/release-token';
import type { Entry } from '#store/model';
import type { TestApp } from './app.ts';

export const gtube = 'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X';
export const sender = 'promo@spam.example';
export const recipient = 'ada@harbour.example';

export const spam = (subject: string, text = gtube): string =>
  `From: Cheap Deals <${sender}>\r\nTo: ${recipient}\r\nSubject: ${subject}\r\n` +
  `Date: Sun, 22 Nov 2026 01:00:00 +0000\r\nMessage-ID: <${subject.replace(/\W+/g, '-')}@spam.example>\r\n\r\n${text}\r\n`;

/** A file of deploy/filters. */
export const filterFile = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../../deploy/filters', name), 'utf8');

/** A folder that any user may look into and, in `seen`, write to. */
export function openFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'lazaret-release-'));
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, 'seen'));
  chmodSync(join(folder, 'seen'), 0o777);
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** As `lazaret release-key --file` writes it, but readable by the filter's user. */
export function writeKey(folder: string, key: Uint8Array): string {
  const file = join(folder, 'lazaret-release.key');
  writeFileSync(file, `${Buffer.from(key).toString('hex')}\n`, { mode: 0o644 });
  chmodSync(file, 0o644);
  return file;
}

export const keyOf = async ({ app }: TestApp): Promise<Uint8Array> => (await app.store.settings.get('releaseKey'))!;

/** Puts a message in and drops it on Release. */
export async function releaseOne(server: TestApp, message: string, to = recipient): Promise<Entry> {
  const { store } = server.app;
  const [admitted] = await server.app.admit({
    source: (async function* () {
      yield Buffer.from(message, 'latin1');
    })(),
    sender,
    recipients: [{ address: to }],
    params: {},
    direction: 'incoming',
    filter: 'auto',
    repeat: false,
  });
  await drop(server, (await store.entries.get(admitted!.entryId))!);
  return (await store.entries.get(admitted!.entryId))!;
}

export async function drop(server: TestApp, entry: Entry): Promise<void> {
  const { store, runner } = server.app;
  const started = store.drops.begin({
    actor: { account: 'global', via: 'test' },
    scope: { level: 'global' },
    folder: entry.folder!,
    action: 'release',
    mode: 'move',
    undoMs: 0,
    hostname: 'quarantine.example',
  });
  await store.drops.take(started, [entry.uid!], { last: true });
  runner.poke();
}

const field = /^X-Lazaret-Release:((?:.*\r?\n[ \t])*.*)\r?\n/m;

export const tokenIn = (bytes: Buffer, key: Uint8Array): ReleaseToken | undefined =>
  verifyRelease(key, field.exec(bytes.toString('latin1'))?.[1] ?? '');

/** The release with another signed header. */
export const withToken = (bytes: Buffer, value: string): Buffer =>
  Buffer.from(
    bytes.toString('latin1').replace(field, `X-Lazaret-Release: ${value.replaceAll('; ', ';\r\n ')}\r\n`),
    'latin1',
  );

/** What must not pass, and why: made from a release that did. `fresh` has a signature nobody has seen. */
export function forgeries(
  bytes: Buffer,
  key: Uint8Array,
): readonly (readonly [why: string, message: Buffer, to: string])[] {
  const token = tokenIn(bytes, key)!;
  const sign = (more: Partial<ReleaseToken>, with_: Uint8Array = key) =>
    withToken(bytes, signRelease(with_, { ...token, attempt: 90, ...more }));
  const other = createHash('sha256').update('another body').digest('hex');
  return [
    ['the same again', bytes, recipient],
    ['signed with another key', sign({}, Buffer.alloc(32, 1)), recipient],
    ['too late', sign({ until: Math.floor(Date.now() / 1000) - 5 }), recipient],
    ['for somebody else', sign({}), 'ben@harbour.example'],
    ['of another body', sign({ bodySha256: other }), recipient],
    ['with something put into the body', Buffer.concat([sign({}), Buffer.from('Buy more.\r\n')]), recipient],
    [
      'changed: another try',
      Buffer.from(bytes.toString('latin1').replace(/ try=\d+;/, ' try=91;'), 'latin1'),
      recipient,
    ],
    [
      'changed: no signature',
      Buffer.from(bytes.toString('latin1').replace(/ sig=.*\r\n/, ' sig=\r\n'), 'latin1'),
      recipient,
    ],
    ['without the field', Buffer.from(bytes.toString('latin1').replace(field, ''), 'latin1'), recipient],
  ];
}
