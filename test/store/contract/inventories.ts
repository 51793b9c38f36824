/** What messages bring along: a list of those that wait, and what was found. */
import type { Test } from 'tap';
import type { MessageId } from '#store/model';
import { ada } from '../dropping.ts';
import { admit, aSpamFor, held, type OpenHarness, put } from './harness.ts';

const inventory = {
  attachments: [{ name: 'Übersicht.zip', type: 'application/zip', size: 9, sha256: 'ab', names: ['a', 'b'] }],
  links: [
    { domain: 'xn--mller-kva.example', count: 3 },
    { domain: 'bit.ly', count: 1, shortener: true as const },
  ],
};

export default async function contract(t: Test, open: OpenHarness): Promise<void> {
  await t.test('every message waits for its inventory, oldest first, until that is put', async (t) => {
    const { store, again } = await open(t);
    t.strictSame(await store.messages.withoutInventory(10), []);
    const small = await held(store, ada, { text: 'Small.' });
    const large = await held(store, ada, { text: 'x'.repeat(600_000) });
    const twice = aSpamFor(ada, { text: 'Twice.', repeat: { key: 'twice' } });
    const [once] = await admit(store, twice);
    await admit(store, twice);
    const messages = [small.messageId, large.messageId, (await store.entries.get(once!.entryId))!.messageId];
    messages.sort((a, b) => a - b);
    // A duplicate's bytes are given up, at once or just behind the answer.
    const waiting = await store.messages.withoutInventory(3);
    t.strictSame(waiting, messages);
    t.strictSame(await store.messages.withoutInventory(2), messages.slice(0, 2));
    t.strictSame(await store.messages.withoutInventory(0), []);
    t.equal(await store.messages.inventory(large.messageId), undefined);

    await store.messages.putInventory(large.messageId, inventory);
    const other = await again();
    t.strictSame(await other.messages.inventory(large.messageId), inventory);
    t.notOk((await other.messages.withoutInventory(10)).includes(large.messageId));
    const second = { attachments: [], links: [], problem: 'took too long' };
    await other.messages.putInventory(large.messageId, second);
    t.strictSame(await store.messages.inventory(large.messageId), second, 'in place of the first');
  });

  await t.test('of a message that is gone nothing is kept', async (t) => {
    const { store } = await open(t);
    const { messageId } = await held(store, ada);
    const none = (messageId + 100_000) as MessageId;
    await store.messages.putInventory(none, inventory);
    t.equal(await store.messages.inventory(none), undefined);
    await store.messages.discard(await put(store, new Uint8Array(600_000)));
    t.strictSame(await store.messages.withoutInventory(10), [messageId]);
  });
}
