/** The thread and its keeper: whatever a message does to the thread, the next has its inventory; none is forgotten. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createKeeper, type Keeper, type KeeperOptions } from '#app/inventory/keeper';
import { InventoryThread, type ThreadLimits } from '#app/inventory/thread';
import { silent } from '#app/observe/log';
import { StoreUnavailable } from '#store/errors';
import type { MessageId } from '#store/model';
import { openStore } from '#store/open';
import type { NewEntry, Store } from '#store/port';
import { aSpamFor } from '../store/contract/harness.ts';
import { attached, inventoryOf, mixed, partsOf } from './reading.ts';

const moody = new URL('./children/moody.ts', import.meta.url).href;
const ada = 'ada@harbour.example';
const text = (words: string): Buffer => Buffer.from(`From: x@spam.test\r\n\r\n${words}\r\n`);

async function* pieces(...all: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of all) yield Uint8Array.from(piece);
}

function openThread(t: Test, limits: Partial<ThreadLimits> = {}): InventoryThread {
  const thread = new InventoryThread(limits);
  t.teardown(() => thread.close());
  return thread;
}

t.test('a thread makes the same as is made without one, in one piece or in many', async (t) => {
  const thread = openThread(t);
  const raw = mixed(attached('a.bin', Buffer.alloc(100_000, 'x')), attached('b.bin', Buffer.from('b')));
  const expected = inventoryOf(raw);
  t.strictSame(await thread.make(partsOf(raw), pieces(raw)), expected);
  const cut = [raw.subarray(0, 7), raw.subarray(7, 50_000), raw.subarray(50_000)];
  t.strictSame(await thread.make(partsOf(raw), pieces(...cut)), expected);
  t.strictSame(await thread.make(partsOf(text('')), pieces()), { attachments: [], links: [] }, 'no octets at all');
  t.match(await thread.make(Uint8Array.of(1, 2, 3), pieces(raw)), { problem: 'Not a table of parts' });
  const broken = (async function* () {
    yield raw.subarray(0, 50_000);
    throw new Error('the store went away');
  })();
  await t.rejects(thread.make(partsOf(raw), broken), { message: 'the store went away' });
  t.strictSame(await thread.make(partsOf(raw), pieces(raw)), expected, 'and the next one begins anew');
});

t.test('a message that costs the thread says so, and the next one has a new thread', async (t) => {
  const thread = openThread(t, { module: moody, deadlineMs: 500, memoryMb: 32 });
  const fine = mixed(attached('a', Buffer.from('a')));
  for (const [words, problem] of [
    ['please hang', 'took too long'],
    ['please eat', 'needed too much memory'],
    ['please throw', 'could not be read: as asked'],
    ['please end', 'could not be read: the thread ended'],
  ] as const) {
    t.match(await thread.make(partsOf(text(words)), pieces(text(words))), { attachments: [], links: [], problem });
    t.strictSame(await thread.make(partsOf(fine), pieces(fine)), inventoryOf(fine), `after ${words}`);
  }
});

t.test('that no thread can be started is no message’s fault', async (t) => {
  const thread = openThread(t, { module: new URL('./children/none.ts', import.meta.url).href });
  await t.rejects(thread.make(partsOf(text('x')), pieces(text('x'))), { message: /cannot be started/ });
});

t.test('time in which the thread did not work is not counted', { skip: process.platform !== 'linux' }, async (t) => {
  const thread = openThread(t, { module: moody, deadlineMs: 300 });
  await thread.make(partsOf(text('first')), pieces(text('first')));
  const raw = text('please sleep');
  t.strictSame(await thread.make(partsOf(raw), pieces(raw)), inventoryOf(raw), 'a second of sleep is nobody’s fault');
  t.match(await thread.make(partsOf(text('x')), pieces(text('please hang'))), { problem: 'took too long' });
});

t.test('it gives way to what takes mail in', { skip: process.platform !== 'linux' }, async (t) => {
  const thread = openThread(t);
  const raw = text('x');
  await thread.make(partsOf(raw), pieces(raw));
  const nice = (task: string) =>
    Number(readFileSync(`/proc/self/task/${task}/stat`, 'utf8').split(') ')[1]?.split(' ')[16]);
  t.ok(readdirSync('/proc/self/task').map(nice).includes(19), 'its thread');
  t.not(nice(String(process.pid)), 19, 'and not the main one');
});

interface World {
  readonly store: Store;
  keep(options?: Partial<KeeperOptions>): Keeper;
  arrive(raw: Uint8Array): Promise<MessageId>;
}

async function world(t: Test): Promise<World> {
  const store = await openStore(`sqlite:${join(t.testdir(), 'lazaret.db')}`, { durable: false });
  t.teardown(() => store.close());
  return {
    store,
    keep(options = {}) {
      const keeper = createKeeper({ store, log: silent, ...options });
      keeper.start();
      t.teardown(() => keeper.stop(5000));
      return keeper;
    },
    async arrive(raw) {
      const bytes = await store.messages.put(pieces(raw));
      const { message, entries } = aSpamFor(ada);
      const summary = { ...message.summary, parts: partsOf(raw) };
      const [admitted] = await store.entries.admit({ ...message, bytes, summary }, entries as readonly NewEntry[]);
      return (await store.entries.get(admitted!.entryId))!.messageId;
    },
  };
}

t.test('makes the inventories of what is there and of what comes, once each', async (t) => {
  const { store, keep, arrive } = await world(t);
  const raw = mixed(attached('a.pdf', Buffer.from('%PDF')), { header: '', body: 'http://a.example' });
  const before = await arrive(raw);
  const made: number[] = [];
  const keeper = keep({ onMade: (inventory) => made.push(inventory.attachments.length) });
  await keeper.idle();
  t.strictSame(await store.messages.inventory(before), inventoryOf(raw));
  const large = mixed(attached('large', Buffer.alloc(700_000, 'y')));
  const [second, third] = [await arrive(large), await arrive(text('nothing'))];
  await keeper.idle();
  t.strictSame(await store.messages.inventory(second), inventoryOf(large));
  t.strictSame(await store.messages.inventory(third), { attachments: [], links: [] });
  t.strictSame(await store.messages.withoutInventory(10), []);
  t.strictSame(made, [1, 1, 0]);
});

t.test('many are committed together, so that the intake does not wait for each', async (t) => {
  const { keep, arrive } = await world(t);
  await Promise.all(Array.from({ length: 40 }, (_, n) => arrive(text(`${n}`))));
  let commits = 0;
  let commands = 0;
  const onBatch = (batch: unknown): void => {
    commits += 1;
    commands += (batch as { commands: number }).commands;
  };
  subscribe('lazaret:store.batch', onBatch);
  t.teardown(() => unsubscribe('lazaret:store.batch', onBatch));
  await keep().idle();
  t.equal(commands, 40);
  t.ok(commits <= 20, `${commits} commits`);
});

t.test('an arrival rings, nobody has to ask', async (t) => {
  const { store, keep, arrive } = await world(t);
  let heard: () => void = () => undefined;
  const first = new Promise<void>((resolve) => {
    heard = resolve;
  });
  keep({ onMade: () => heard(), pollMs: 3_600_000 });
  const id = await arrive(text('ring'));
  await first;
  t.strictSame(await store.messages.inventory(id), { attachments: [], links: [] });
});

t.test('without mail for a while the thread ends, and there is another when mail comes', async (t) => {
  const threads = () => readdirSync('/proc/self/task').length;
  const { store, keep, arrive } = await world(t);
  await arrive(text('first'));
  await store.messages.withoutInventory(1); // the store's threads are up
  const keeper = keep({ pollMs: 50 });
  await keeper.idle();
  const busy = threads();
  while (threads() >= busy) await new Promise((resolve) => setTimeout(resolve, 10));
  const id = await arrive(text('second'));
  await keeper.idle();
  t.strictSame(await store.messages.inventory(id), { attachments: [], links: [] });
});

t.test('two keepers on one store do no harm', async (t) => {
  const { store, keep, arrive } = await world(t);
  const raws = Array.from({ length: 30 }, (_, n) => mixed(attached(`${n}.bin`, Buffer.from(`${n}`))));
  const ids = await Promise.all(raws.map(arrive));
  await Promise.all([keep().idle(), keep().idle()]);
  for (const [at, id] of ids.entries())
    t.strictSame(await store.messages.inventory(id), inventoryOf(raws[at]!), `message ${at}`);
});

t.test('a store that fails for a while loses nothing', async (t) => {
  const { store, keep, arrive } = await world(t);
  const id = await arrive(text('later'));
  let failing = 1;
  const messages: Store['messages'] = {
    ...store.messages,
    withoutInventory: async (limit) => {
      if (failing-- > 0) throw new StoreUnavailable('away');
      return store.messages.withoutInventory(limit);
    },
  };
  const keeper = keep({ store: { messages, changes: store.changes }, troubleMs: 50 });
  await keeper.idle();
  t.strictSame(await store.messages.inventory(id), { attachments: [], links: [] });
});

t.test('a message that is not there is passed over, and looked for again; others do not wait for it', async (t) => {
  const { store, keep, arrive } = await world(t);
  const missing = await arrive(text('on its way'));
  const there = await arrive(text('there'));
  let gone = true;
  const messages: Store['messages'] = {
    ...store.messages,
    summaries: async (ids, sections) => {
      const some = await store.messages.summaries(ids, sections);
      if (!gone || !ids.includes(missing)) return some;
      return store.messages.summaries(
        ids.map((id) => (id === missing ? (999_999 as MessageId) : id)),
        sections,
      );
    },
  };
  const keeper = keep({ store: { messages, changes: store.changes }, missingAgainMs: 0, pollMs: 3_600_000 });
  await keeper.idle();
  t.strictSame(await store.messages.withoutInventory(10), [missing]);
  t.ok(await store.messages.inventory(there));
  gone = false;
  await keeper.idle();
  t.strictSame(await store.messages.withoutInventory(10), []);
});

t.test('stops while a message is at hand, and says nothing of it', async (t) => {
  const { store, keep, arrive } = await world(t);
  const id = await arrive(text('please hang'));
  const keeper = keep({ limits: { module: moody } });
  let reading: () => void = () => undefined;
  const began = new Promise<void>((resolve) => {
    reading = resolve;
  });
  const { read } = store.messages;
  store.messages.read = (...args: Parameters<typeof read>) => {
    reading();
    return read(...args);
  };
  const idle = keeper.idle();
  await began;
  await keeper.stop(50);
  await idle;
  t.strictSame(await store.messages.withoutInventory(10), [id], 'somebody else will make it');
});
