/** Bytes in and out: exact, streamed, given up. */
import type { Test } from 'tap';
import { NotFound } from '#store/errors';
import type { MessageId, SummarySection } from '#store/model';
import { admit, aSpamFor, bytesOf, collect, from, held, type OpenHarness, put, sha256, textOf } from './harness.ts';

const kib = 1024;
/** Octets that repeat nowhere near a chunk's length, so that a chunk out of place is seen. */
function octets(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) bytes[at] = (at * 31 + (at >> 8) * 17 + (at >> 16)) & 0xff;
  return bytes;
}
async function* cut(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  const { store, advance } = await open(t);

  for (const [length, piece] of [
    [0, 1],
    [1, 1],
    [256 * kib - 1, 7001],
    [256 * kib, 64 * kib],
    [256 * kib + 1, 64 * kib],
    [1000 * kib + 3, 300 * kib],
  ] as const)
    await t.test(`gives back ${length} octets that came in pieces of ${piece}`, async (t) => {
      const raw = octets(length);
      const bytes = await store.messages.put(cut(raw, piece));
      t.equal(bytes.size, length);
      t.equal(bytes.sha256, sha256(raw));
      const mail = aSpamFor('ada@harbour.example');
      const [admitted] = await store.entries.admit({ ...mail.message, bytes }, mail.entries);
      const entry = await store.entries.get(admitted!.entryId);
      const read = await collect(store.messages.read(entry!.messageId));
      t.equal(read.length, length);
      t.equal(sha256(read), bytes.sha256);
      t.equal((await store.messages.get(entry!.messageId))?.size, length);
    });

  await t.test('reads from anywhere to anywhere', async (t) => {
    const raw = octets(700 * kib);
    const mail = aSpamFor('ada@harbour.example');
    const bytes = await put(store, raw);
    const [admitted] = await store.entries.admit({ ...mail.message, bytes }, mail.entries);
    const { messageId } = (await store.entries.get(admitted!.entryId))!;
    for (const [offset, length] of [
      [0, 10],
      [5, 0],
      [256 * kib - 1, 2],
      [256 * kib, 1],
      [100, 600 * kib],
      [700 * kib - 1, 1],
      [700 * kib - 1, 100],
      [700 * kib, 10],
      [900 * kib, 10],
    ] as const)
      t.same(
        await collect(store.messages.read(messageId, offset, length)),
        Buffer.from(raw.subarray(offset, offset + length)),
        `${length} octets from ${offset}`,
      );
    t.same(await collect(store.messages.read(messageId, 699 * kib)), Buffer.from(raw.subarray(699 * kib)));
    let pieces = 0;
    for await (const piece of store.messages.read(messageId)) {
      t.ok(piece.length <= 256 * kib);
      pieces += 1;
      if (pieces === 2) break; // a consumer may stop
    }
  });

  await t.test('keeps what was said about a message', async (t) => {
    const filterBlock = bytesOf('X-Spam-Flag: YES\r\n');
    const params = { body: '8BITMIME', smtputf8: true, envid: 'x', client: { addr: '192.0.2.1' } } as const;
    const mail = aSpamFor('ada@harbour.example', { subject: 'Zahlung', sender: '', params, filterBlock });
    const { messageId } = await held(store, 'ada@harbour.example', {
      subject: 'Zahlung',
      sender: '',
      params,
      filterBlock,
    });
    const message = await store.messages.get(messageId);
    t.match(message, {
      id: messageId,
      size: mail.raw.length,
      sha256: sha256(mail.raw),
      bodySha256: mail.message.bodySha256,
      headerSize: mail.message.headerSize,
      sender: '',
      params,
      subject: 'Zahlung',
      from: 'Mallory',
    });
    t.ok(message!.receivedAt instanceof Date);
    t.equal(textOf(await store.messages.filterBlock(messageId)), 'X-Spam-Flag: YES\r\n');
  });

  await t.test('answers sections of many messages in the order asked for', async (t) => {
    const a = await held(store, 'ada@harbour.example', { subject: 'One' });
    const b = await held(store, 'ada@harbour.example', { subject: 'Two' });
    const none = 999999 as MessageId;
    const sections: readonly SummarySection[] = ['commonFields', 'parts', 'envelope'];
    const { bytes, ends } = await store.messages.summaries([b.messageId, none, a.messageId, b.messageId], sections);
    const got = [...ends].map((end, at) => textOf(bytes.subarray(at === 0 ? 0 : ends[at - 1], end)));
    const of = (subject: string): string[] => [`Subject: ${subject}\r\n`, '\x01\x02\x03', `(NIL "${subject}")`];
    t.same(got, [...of('Two'), '', '', '', ...of('One'), ...of('Two')]);
    t.same([...(await store.messages.summaries([], sections)).ends], []);
  });

  await t.test('an unknown message is undefined, its bytes are NotFound', async (t) => {
    const none = 999999 as MessageId;
    t.equal(await store.messages.get(none), undefined);
    t.equal((await store.messages.filterBlock(none)).length, 0);
    await t.rejects(collect(store.messages.read(none)), NotFound);
  });

  await t.test('an error of the source comes out', async (t) => {
    async function* broken(pieces: number): AsyncGenerator<Uint8Array> {
      for (let piece = 0; piece < pieces; piece += 1) yield new Uint8Array(100 * kib);
      throw new Error('the client has gone');
    }
    await t.rejects(store.messages.put(broken(1)), { message: 'the client has gone' });
    await t.rejects(store.messages.put(broken(9)), { message: 'the client has gone' });
  });

  await t.test('bytes that were given up cannot be admitted, and may be given up again', async (t) => {
    const mail = aSpamFor('ada@harbour.example');
    const bytes = await put(store, octets(600 * kib));
    await store.messages.discard(bytes);
    await store.messages.discard(bytes);
    await t.rejects(store.entries.admit({ ...mail.message, bytes }, mail.entries), NotFound);
    await store.messages.discard(await put(store, octets(10)));
    const used = await put(store, octets(600 * kib));
    await store.entries.admit({ ...mail.message, bytes: used }, mail.entries);
    await t.rejects(store.entries.admit({ ...mail.message, bytes: used }, mail.entries), NotFound);
    await store.messages.discard(used);
    const [admitted] = await admit(store, mail);
    t.equal(admitted?.how, 'new', 'service goes on');
  });

  await t.test('many messages come in at once, each whole', async (t) => {
    const raws = Array.from({ length: 6 }, (_, index) => octets(300 * kib + index));
    const mail = aSpamFor('ada@harbour.example');
    const admitted = await Promise.all(
      raws.map(async (raw) => {
        const bytes = await store.messages.put(cut(raw, 50 * kib));
        return store.entries.admit({ ...mail.message, bytes }, mail.entries);
      }),
    );
    for (const [index, [one]] of admitted.entries()) {
      const { messageId } = (await store.entries.get(one!.entryId))!;
      t.equal(sha256(await collect(store.messages.read(messageId))), sha256(raws[index]!));
    }
    t.equal((await store.messages.put(from())).size, 0);
  });

  await t.test('bytes that nobody admitted are swept after a day', async (t) => {
    const mail = aSpamFor('ada@harbour.example');
    const old = await put(store, octets(600 * kib));
    advance(13 * 60 * 60 * 1000);
    const fresh = await put(store, octets(600 * kib));
    advance(13 * 60 * 60 * 1000);
    while ((await store.housekeep()).more);
    await t.rejects(store.entries.admit({ ...mail.message, bytes: old }, mail.entries), NotFound);
    t.equal((await store.entries.admit({ ...mail.message, bytes: fresh }, mail.entries))[0]?.how, 'new');
  });
}
